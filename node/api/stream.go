package api

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"

	"github.com/gpuai/gpuai/node/rest"
)

func (f *frameWriter) end(exit int, err error) {
	if err != nil {
		b, _ := json.Marshal(rest.ProblemOf(err)) // strings and numbers only
		_ = f.write(frameError, b)                // the caller is gone if this fails
		return
	}
	_ = f.write(frameExit, binary.BigEndian.AppendUint32(nil, uint32(exit)))
}

func (s *leases) exec(w http.ResponseWriter, r *http.Request, in *execIn) error {
	if r.Header.Get("Upgrade") != "gpuai-exec" {
		w.Header().Set("Upgrade", "gpuai-exec")
		return rest.Usage(http.StatusUpgradeRequired, "exec needs Connection: Upgrade and Upgrade: gpuai-exec")
	}
	if _, err := s.orders.Order(r.Context(), in.ID); err != nil { // an answer in HTTP, while there is one
		return err
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := io.WriteString(conn,
		"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: gpuai-exec\r\n\r\n"); err != nil {
		return nil // the caller is gone
	}
	stdin, feed := io.Pipe()
	resized := make(chan [2]uint16, 1)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	wg.Go(func() {
		_ = feed.CloseWithError(feedStdin(rw.Reader, feed, resized)) // never fails
		cancel()                                                     // the caller hung up, or the command has ended
	})
	fw := &frameWriter{w: conn}
	argv := r.URL.Query()["arg"] // huma drops a list that begins with an empty one
	exit, err := s.b.Exec(ctx, in.ID, argv, in.terminal(resized), stdin, fw.write)
	fw.end(exit, err)
	_ = stdin.Close()
	_ = conn.Close() // wakes the reader
	wg.Wait()
	return rest.Told(err)
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
