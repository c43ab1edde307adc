//go:build linux

package guard

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestFrames_RoundTrip(t *testing.T) {
	var b bytes.Buffer
	for _, kind := range []byte{FrameData, FrameEnd, FrameResize} {
		if err := WriteFrame(&b, kind, []byte{kind, kind}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []byte{FrameData, FrameEnd, FrameResize} {
		kind, data, err := ReadFrame(&b)
		if err != nil || kind != want || !bytes.Equal(data, []byte{want, want}) {
			t.Errorf("got %d %v %v", kind, data, err)
		}
	}
	if _, _, err := ReadFrame(&b); !errors.Is(err, io.EOF) {
		t.Errorf("end: %v", err)
	}
	if _, _, err := ReadFrame(strings.NewReader("\x01\xff\xff\xff\xff")); err == nil {
		t.Error("a frame of 4 GiB passed")
	}
}

func TestLookup_SaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/data", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	for _, c := range []struct {
		argv []string
		code int
	}{{[]string{"sh"}, 0}, {[]string{"/bin/sh"}, 0}, {[]string{"trian.py"}, ExitNotFound}, {nil, ExitNotFound},
		{[]string{"data"}, ExitNotExecutable}, {[]string{dir}, ExitNotExecutable}} {
		if _, code, err := lookup(c.argv); code != c.code || (err != nil) != (code != 0) {
			t.Errorf("%v: %d, %v", c.argv, code, err)
		}
	}
}

func TestRestoreEnv_GivesTheLoaderBack(t *testing.T) {
	got := restoreEnv([]string{"A=1", "GPUAI_X_LD_PRELOAD=x"})
	if !slices.Equal(got, []string{"A=1", "LD_PRELOAD=x"}) {
		t.Errorf("got %v", got)
	}
}

// execFrames runs Exec over pipes and returns its output and code; end nil closes stdin frames, else they stay open.
func execFrames(t *testing.T, cols, rows uint16, argv []string, in func(w io.WriteCloser)) (string, int) {
	t.Helper()
	r, w := io.Pipe()
	defer w.Close()
	var out bytes.Buffer
	code := make(chan int, 1)
	var wg sync.WaitGroup
	wg.Go(func() { in(w) })
	wg.Go(func() { code <- Exec(cols > 0, cols, rows, argv, r, &out, &out) })
	select {
	case c := <-code:
		wg.Wait()
		return out.String(), c
	case <-time.After(20 * time.Second):
		t.Fatal("exec hangs")
		return "", 0
	}
}

func TestExec_EndFrame_ClosesStdinOnly(t *testing.T) {
	out, code := execFrames(t, 0, 0, []string{"sh", "-c", "cat; exit 4"}, func(w io.WriteCloser) {
		_ = WriteFrame(w, FrameData, []byte("hello"))
		_ = WriteFrame(w, FrameEnd, nil)
	})
	if out != "hello" || code != 4 {
		t.Errorf("got %q, %d", out, code)
	}
}

func TestExec_StreamEnds_KillsTheSession(t *testing.T) {
	_, code := execFrames(t, 0, 0, []string{"sh", "-c", "sleep 100 & sleep 100"},
		func(w io.WriteCloser) { _ = w.Close() })
	if code != 128+int(unix.SIGKILL) {
		t.Errorf("exit %d", code)
	}
}

func TestExec_Terminal_HasSizeAndResizes(t *testing.T) {
	out, code := execFrames(t, 90, 30, []string{"sh", "-c", "stty size; read x; stty size"}, func(w io.WriteCloser) {
		_ = WriteFrame(w, FrameResize, []byte{0, 100, 0, 40})
		_ = WriteFrame(w, FrameData, []byte("x\n"))
	})
	if !strings.Contains(out, "40 100") || code != 0 {
		t.Errorf("got %q, %d", out, code)
	}
}
