package api

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
)

func (f *frameWriter) end(exit int, err error) {
	if err != nil {
		b, _ := json.Marshal(ProblemOf(err)) // strings and numbers only
		_ = f.write(frameError, b)           // the caller is gone if this fails
		return
	}
	_ = f.write(frameExit, binary.BigEndian.AppendUint32(nil, uint32(exit)))
}

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	argv := r.URL.Query()["arg"]
	if r.Header.Get("Upgrade") != "gpuai-exec" {
		w.Header().Set("Upgrade", "gpuai-exec")
		s.refuse(w, r, usage(http.StatusUpgradeRequired, "exec needs Connection: Upgrade and Upgrade: gpuai-exec"))
		return
	}
	if _, err := s.b.Order(r.Context(), r.PathValue("id")); err != nil { // an answer in HTTP, while there is one
		s.refuse(w, r, err)
		return
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer conn.Close()
	if _, err := io.WriteString(conn,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: gpuai-exec\r\n\r\n"); err != nil {
		return
	}
	in, feed := io.Pipe()
	resized := make(chan [2]uint16, 1)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	wg.Go(func() {
		_ = feed.CloseWithError(feedStdin(rw.Reader, feed, resized)) // never fails
		cancel()                                                     // the caller hung up, or the command has ended
	})
	fw := &frameWriter{w: conn}
	exit, err := s.b.Exec(ctx, r.PathValue("id"), argv, terminalOf(r, resized), in, fw.write)
	if err != nil {
		s.fail(r, err)
	}
	fw.end(exit, err)
	_ = in.Close()
	_ = conn.Close() // wakes the reader
	wg.Wait()
}

func (s *Server) outputs(w http.ResponseWriter, r *http.Request) {
	if err := onlyFirst(r); err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	c := &watched{ResponseWriter: w}
	if err := s.b.GetOutputs(r.Context(), r.PathValue("id"), c); err != nil {
		if c.n > 0 {
			s.fail(r, err)
			panic(http.ErrAbortHandler) // net/http's way to cut a started answer; it is not logged
		}
		s.refuse(w, r, err)
	}
}

// feedStdin moves stdin frames to w until the caller hangs up: that must be seen also when stdin is at its end.
func feedStdin(r io.Reader, w *io.PipeWriter, resized chan [2]uint16) error {
	for {
		stream, b, err := readFrame(r)
		switch {
		case err != nil:
			return errors.Join(io.ErrUnexpectedEOF, err)
		case stream == frameResize:
			if s, ok := decodeSize(b); ok {
				newest(resized, s)
			}
		case stream == frameEOF:
			_ = w.Close() // never fails; what comes later is dropped
		case stream == frameStdin:
			if _, err := w.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) {
				return err
			}
		}
	}
}
