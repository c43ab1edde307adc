package tunnel

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/gpuai/gpuai/runtime/job"
)

func TestRecord_RoundTrip(t *testing.T) {
	for _, r := range []job.LogRecord{
		{Offset: 0, Time: time.Unix(1, 2), Stream: 1, Data: []byte("a\x00\xff\n")},
		{Offset: 1 << 62, Time: time.Unix(0, -1), Stream: 2, Data: bytes.Repeat([]byte("x"), 16<<10)},
		{Offset: 7, Time: time.Unix(9, 9), Gap: 1 << 40},
		{Offset: 7, Time: time.Unix(9, 9), Stream: 2, Raw: true, Data: []byte("raw")},
	} {
		got, err := DecodeRecord(EncodeRecord(r))
		if err != nil || got.Offset != r.Offset || !got.Time.Equal(r.Time) || got.Stream != r.Stream ||
			got.Gap != r.Gap || got.Raw != r.Raw || !bytes.Equal(got.Data, r.Data) {
			t.Errorf("%+v, %v", got, err)
		}
	}
}

// TestRecord_Hostile: no bytes of a peer panic, and sums of what is accepted do not wrap.
func TestRecord_Hostile(t *testing.T) {
	whole := EncodeRecord(job.LogRecord{Offset: 3, Gap: 5})
	for n := range len(whole) {
		if _, err := DecodeRecord(whole[:n]); err == nil {
			t.Errorf("%d bytes were taken", n)
		}
	}
	for _, r := range []job.LogRecord{{Offset: 1<<62 + 1}, {Gap: 1<<62 + 1}} {
		if _, err := DecodeRecord(EncodeRecord(r)); err == nil {
			t.Errorf("%+v was taken", r)
		}
	}
}

// TestLogs_OlderPeers: words that an older version does not know are left out for it, and what it says is understood.
func TestLogs_OlderPeers(t *testing.T) {
	var a LogsArgs
	if err := json.Unmarshal([]byte(`{"since":"0001-01-01T00:00:00Z","follow":true}`), &a); err != nil || a.Places ||
		!a.Follow {
		t.Errorf("%+v, %v", a, err)
	}
	if got := string(Control{End: true}.Encode()); got != `{"end":true}` {
		t.Error(got)
	}
	c, err := DecodeControl([]byte(`{"end":true,"log":{"total":5},"unheard_of":1}`))
	if err != nil || !c.End || c.Log == nil || c.Log.Total != 5 || c.Log.Whole {
		t.Errorf("%+v, %v", c, err)
	}
	at, stream, data, err := DecodeLog(EncodeLog(time.Unix(1, 2), 2, []byte("x")))
	if err != nil || !at.Equal(time.Unix(1, 2)) || stream != 2 || string(data) != "x" {
		t.Errorf("%v %d %q %v", at, stream, data, err)
	}
}
