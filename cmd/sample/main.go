package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// report is out/report.json; the checker reads it.
type report struct {
	Schema      string   `json:"schema"`
	InputSHA256 string   `json:"input_sha256"`
	Width       int64    `json:"width"`
	Height      int64    `json:"height"`
	Samples     int64    `json:"samples"`
	PNGSHA256   string   `json:"png_sha256"`
	Devices     []string `json:"devices"` // nodes under /dev/nvidia*, exactly the leased ones
}

func main() {
	dir := "/workspace"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := run(dir, "/dev", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sample:", err)
		os.Exit(1)
	}
}

// run renders dir/in/scene.txt into dir/out and prints progress to w.
func run(dir, dev string, w io.Writer) error {
	text, err := os.ReadFile(filepath.Join(dir, "in", "scene.txt"))
	if err != nil {
		return err
	}
	s, err := parseScene(text)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "scene %d bytes, %d x %d pixels, %d samples each\n", len(text), s.w, s.h, s.n*s.n)
	var out bytes.Buffer
	if err := png.Encode(&out, render(&s, w)); err != nil {
		return fmt.Errorf("encode picture: %w", err)
	}
	nodes, err := filepath.Glob(filepath.Join(dev, "nvidia*"))
	if err != nil {
		return err
	}
	slices.Sort(nodes)
	r := report{"gpuai.sample/v1", hash(text), s.w, s.h, s.n, hash(out.Bytes()), append([]string{}, nodes...)}
	raw, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "out"), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "out", "frame.png"), out.Bytes(), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "out", "report.json"), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(w, "done: frame.png %d bytes, sha256 %s\n", out.Len(), r.PNGSHA256)
	return nil
}

func render(s *scene, w io.Writer) image.Image {
	img := image.NewNRGBA(image.Rect(0, 0, int(s.w), int(s.h)))
	told := int64(0)
	for y := range s.h {
		for x := range s.w {
			r, g, b := s.pixel(x, y)
			img.SetNRGBA(int(x), int(y), color.NRGBA{r, g, b, 255})
		}
		if done := (y + 1) * 100 / s.h; done >= told+5 {
			told = done
			fmt.Fprintf(w, "rendered %d %%\n", done)
		}
	}
	return img
}

func hash(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}
