package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/cmd/gpuai/demo/check"
)

const small = "size 40 30\nsamples 2\ncamera 0 160 -900\nlight 700 1400 -800\nsky 190 210 235 60 110 190\n" +
	"floor -120 230 228 220 60 66 74 15\nsphere 0 60 260 180 230 70 60 20\nsphere -120 -80 -190 40 200 205 215 80\n"

// job runs the sample in a fresh directory and returns picture and report.
func job(t *testing.T, scene, dev string) (picture, report []byte, log string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "in", "scene.txt"), []byte(scene), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(dir, dev, &out); err != nil {
		t.Fatal(err)
	}
	picture, err := os.ReadFile(filepath.Join(dir, "out", "frame.png"))
	if err != nil {
		t.Fatal(err)
	}
	report, err = os.ReadFile(filepath.Join(dir, "out", "report.json"))
	if err != nil {
		t.Fatal(err)
	}
	return picture, report, out.String()
}

func TestRun_SmallScene_PassesTheSecondImplementation(t *testing.T) {
	t.Parallel()
	picture, report, log := job(t, small, t.TempDir())
	for seed := range 8 { // 2048 draws: nearly every pixel of 1200
		if err := check.Check([]byte(small), picture, report, [32]byte{byte(seed)}); err != nil {
			t.Fatal(err)
		}
	}
	if !strings.Contains(log, "rendered 100 %") {
		t.Errorf("log %q", log)
	}
}

func TestRun_OtherScene_OtherPicture(t *testing.T) {
	t.Parallel()
	a, report, _ := job(t, small, t.TempDir())
	changed := strings.Replace(small, "230 70 60", "70 230 60", 1)
	b, _, _ := job(t, changed, t.TempDir())
	if bytes.Equal(a, b) {
		t.Error("a changed scene makes the same picture")
	}
	if err := check.Check([]byte(changed), a, report, [32]byte{1}); !errors.Is(err, check.ErrWrong) {
		t.Errorf("another scene's result passes: %v", err)
	}
}

func TestRun_Devices_ListsWhatItSees(t *testing.T) {
	t.Parallel()
	dev := t.TempDir()
	for _, n := range []string{"nvidia1", "nvidiactl", "null"} {
		if err := os.WriteFile(filepath.Join(dev, n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, raw, _ := job(t, "size 2 2\nsamples 1\n", dev)
	r, err := check.ParseReport(raw)
	if err != nil || !slices.Equal(r.Devices,
		[]string{filepath.Join(dev, "nvidia1"), filepath.Join(dev, "nvidiactl")}) {
		t.Errorf("devices %v, %v", r.Devices, err)
	}
}

func TestCheck_ForgedPixels_AreFound(t *testing.T) {
	t.Parallel()
	picture, raw, _ := job(t, small, t.TempDir())
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	flat := strings.Replace(small, "sphere 0 60 260", "sphere 0 61 260", 1) // nearly the same picture
	s, err := parseScene([]byte(flat))
	if err != nil {
		t.Fatal(err)
	}
	var forged bytes.Buffer
	if err := png.Encode(&forged, render(&s, &bytes.Buffer{})); err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	r.PNGSHA256 = hash(forged.Bytes())
	lie, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := check.Check([]byte(small), forged.Bytes(), lie, [32]byte{7}); !errors.Is(err, check.ErrWrong) {
		t.Errorf("forged picture of %v passes: %v", img.Bounds(), err)
	}
	if err := check.Check([]byte(small), picture[:len(picture)-20], raw, [32]byte{7}); !errors.Is(err, check.ErrWrong) {
		t.Errorf("cut picture passes: %v", err)
	}
}

func TestParseScene_Faults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "size 10 10", "size 5000 10\nsamples 1", "size 1 1\nsamples 99",
		"size 1 1\nsamples 1\nsphere 0 0 0 0 1 1 1 0",
		"size 1 1\nsamples 1\nsky 300 0 0 0 0 0", "size 1 1\nsamples 1\nbox 1", "size 1 1\nsamples x",
		"size 1 1\nsamples 1\nlight 99999 0 0",
	} {
		if _, err := parseScene([]byte(text)); !errors.Is(err, errScene) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestDefaultScene_IsReadable(t *testing.T) {
	t.Parallel()
	if _, err := parseScene(check.DefaultScene); err != nil {
		t.Fatal(err)
	}
}

// FuzzScene renders one pixel by both implementations from any scene's numbers.
func FuzzScene(f *testing.F) {
	f.Add(small)
	f.Add("size 2 2\nsamples 1\nfloor 0 1 2 3 4 5 6 100\nsphere 0 0 0 9999 1 2 3 100\nsphere 10000 10000 10000 1 " +
		"1 1 1 1")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseScene([]byte(text))
		if err != nil || s.w*s.h*s.n*s.n > 400 {
			return
		}
		var buf bytes.Buffer
		if err := png.Encode(&buf, render(&s, &bytes.Buffer{})); err != nil {
			t.Fatal(err)
		}
		raw, err := json.Marshal(report{"gpuai.sample/v1", hash([]byte(text)), s.w, s.h, s.n, hash(buf.Bytes()), nil})
		if err != nil {
			t.Fatal(err)
		}
		if err := check.Check([]byte(text), buf.Bytes(), raw, [32]byte{}); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
	})
}
