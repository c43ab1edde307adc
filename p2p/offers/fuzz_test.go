package offers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/p2p/wire"
)

// frames writes what a peer would say.
func frames(t testing.TB, msgs ...*wire.PBSync) (out []byte) {
	t.Helper()
	for _, m := range msgs {
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(append(out, binary.AppendUvarint(nil, uint64(len(b)))...), b...)
	}
	return out
}

// FuzzSyncSession: whatever the other side says in whichever role, a session ends with a known error or well, keeps
// within its size, and never keeps a document that does not verify.
func FuzzSyncSession(f *testing.F) {
	doc := sealed(f, 1, offer(time.Now()))
	id := wire.PBSyncIDs{Ids: make([]byte, 32)}
	docs := wire.PBSync{Docs: &wire.PBSyncDocs{Envelopes: [][]byte{doc, doc[:50], nil}}}
	open := wire.PBSync{Open: &wire.PBSyncOpen{NowMs: 1, Count: 2, Hash: make([]byte, 32)}}
	done := wire.PBSync{Done: true}
	f.Add(byte(0), frames(f, &open, &wire.PBSync{Ids: &id}, &done, &docs, &done))
	f.Add(byte(1), frames(f, &open, &wire.PBSync{Need: &id}, &docs, &done))
	f.Add(byte(2), frames(f, &docs, &done))
	f.Add(byte(1), frames(f, &wire.PBSync{Open: &wire.PBSyncOpen{Own: true}}))
	f.Add(byte(0), []byte{0xff, 0xff, 0xff, 0xff, 0x7f})
	f.Fuzz(func(t *testing.T, role byte, in []byte) {
		s := idle(t)
		var out bytes.Buffer
		fr := newFramer(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(in), &out})
		var err error
		switch role % 3 {
		case 0:
			err = s.client(fr, wire.Whole, func() {})
		case 1:
			err = s.server(fr)
		case 2:
			var raw []byte
			if raw, err = readOwn(fr); err == nil {
				err = s.keepOwn(market.NodeID{}, raw)
			}
		}
		if err != nil && errors.Is(err, errBad) && errors.Is(err, errSync) {
			t.Fatalf("blamed twice: %v", err)
		}
		if fr.got > syncSession+syncFrame || out.Len() > syncSession {
			t.Fatalf("session read %d and wrote %d bytes", fr.got, out.Len())
		}
		for _, signer := range s.set.signers() {
			raw, _ := s.set.of(signer)
			if _, _, err := wire.OpenOffer(raw, s.network); err != nil {
				t.Fatalf("kept what does not verify: %v", err)
			}
		}
	})
}

// FuzzValidator: no bytes make the topic's validator panic, and what it takes verifies.
func FuzzValidator(f *testing.F) {
	f.Add(sealed(f, 1, offer(time.Now())))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s := idle(t)
		if err := s.take(raw, time.Now(), nil); err != nil {
			return
		}
		if _, _, err := wire.OpenOffer(raw, s.network); err != nil {
			t.Fatalf("took what does not verify: %v", err)
		}
	})
}
