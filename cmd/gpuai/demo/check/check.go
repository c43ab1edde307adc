// Package check verifies the sample job's result without the sample's code: it is a second implementation of the rules
// in cmd/sample/doc.go, and recomputes pixels that are chosen after the job.
//
// Invariants: nothing is imported from the sample; a result passes only if the input hash, the picture's hash, its size
// and every chosen pixel are right. Concurrency: functions are pure. Persistence: none. Next: Check.
package check

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the demo's scene
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
)

// DefaultScene is the demo's scene.
//
//go:embed scene.txt
var DefaultScene []byte

// Pixels is how many pixels Check recomputes.
const Pixels = 256

// ErrWrong reports a result that is not that of the scene.
var ErrWrong = errors.New("wrong result")

// Report is what the sample says about its run. Devices: the device nodes it saw.
type Report struct {
	Schema      string   `json:"schema"`
	InputSHA256 string   `json:"input_sha256"`
	Width       int      `json:"width"`
	Height      int      `json:"height"`
	Samples     int      `json:"samples"`
	PNGSHA256   string   `json:"png_sha256"`
	Devices     []string `json:"devices"`
}

// ParseReport reads out/report.json. Errors: ErrWrong.
func ParseReport(raw []byte) (r Report, err error) {
	if err = json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("%w: report.json: %w", ErrWrong, err)
	}
	if r.Schema != "gpuai.sample/v1" {
		return r, fmt.Errorf("%w: report.json has schema %q", ErrWrong, r.Schema)
	}
	return r, nil
}

// Check verifies picture and report against the scene: 256 pixels chosen by seed are recomputed. Choose the seed after
// the job has ended.
// Errors: ErrWrong with what is wrong; a scene that cannot be read.
func Check(scene, picture, report []byte, seed [32]byte) error {
	r, err := ParseReport(report)
	if err != nil {
		return err
	}
	world, err := readWorld(scene)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(scene); r.InputSHA256 != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("%w: the report is about another scene", ErrWrong)
	}
	if sum := sha256.Sum256(picture); r.PNGSHA256 != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("%w: the report is about another picture", ErrWrong)
	}
	head, err := png.DecodeConfig(bytes.NewReader(picture)) // before Decode: the size decides how much that allocates
	if err != nil || head.Width != world.width || head.Height != world.height {
		return fmt.Errorf("%w: the picture is %d x %d, the scene %d x %d", ErrWrong, head.Width, head.Height,
			world.width, world.height)
	}
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return fmt.Errorf("%w: the picture is no PNG: %w", ErrWrong, err)
	}
	for i := range Pixels {
		if err := world.same(img, pick(seed, i, world.width*world.height)); err != nil {
			return err
		}
	}
	return nil
}

// pick is the i-th pixel of a seed, by SHA-256: the renderer could not know it.
func pick(seed [32]byte, i, n int) int {
	h := sha256.Sum256(binary.BigEndian.AppendUint32(seed[:], uint32(i)))
	return int(binary.BigEndian.Uint64(h[:8]) % uint64(n))
}

func (w *world) same(img image.Image, at int) error {
	x, y := at%w.width, at/w.width
	want := w.colorAt(x, y)
	r, g, b, a := img.At(img.Bounds().Min.X+x, img.Bounds().Min.Y+y).RGBA()
	got := [3]int64{int64(r >> 8), int64(g >> 8), int64(b >> 8)}
	if got != want || a != 0xffff {
		return fmt.Errorf("%w: pixel (%d, %d) is %v, recomputed %v", ErrWrong, x, y, got, want)
	}
	return nil
}
