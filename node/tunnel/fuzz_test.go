package tunnel

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gpuai/gpuai/runtime/job"
)

// FuzzControl: what is read as a control frame is written so that it reads the same.
func FuzzControl(f *testing.F) {
	f.Add(Control{}.Encode())
	f.Add([]byte(`{"error":"x","code":"busy","exit":3}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeControl(b)
		if err != nil {
			return
		}
		again, err := DecodeControl(c.Encode())
		if err != nil || !cmp.Equal(c, again, cmpopts.EquateEmpty()) {
			t.Fatalf("%+v became %+v: %v", c, again, err)
		}
	})
}

// FuzzRecord: a record of a log has one byte form, and its end never wraps.
func FuzzRecord(f *testing.F) {
	f.Add(EncodeRecord(job.LogRecord{Offset: 7, Time: time.Unix(0, 5), Stream: 1, Data: []byte("line\n")}))
	f.Add(EncodeRecord(job.LogRecord{Offset: 7, Time: time.Unix(0, 5), Gap: 9}))
	f.Add(EncodeLog(time.Unix(0, 5), 2, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		if at, stream, data, err := DecodeLog(b); err == nil && !bytes.Equal(EncodeLog(at, stream, data), b) {
			t.Fatalf("log record %x has two forms", b)
		}
		r, err := DecodeRecord(b)
		if err != nil {
			return
		}
		if r.Next() < r.Offset {
			t.Fatalf("%+v ends before it begins", r)
		}
		again, err := DecodeRecord(EncodeRecord(r))
		if err != nil || !cmp.Equal(r, again, cmpopts.EquateEmpty()) {
			t.Fatalf("%+v became %+v: %v", r, again, err)
		}
	})
}
