package main

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gpuai/gpuai/p2p/modeltest"
)

func TestLoggedFigures(t *testing.T) {
	t.Parallel()
	got, err := loggedFigures([]byte("=== RUN   TestX\n    x_test.go:70: figure p99 100.1192 ms\n" +
		"    x_test.go:71: figures p50 1 ms\n    x_test.go:70: figure missing 0 copies\nPASS\n"))
	if err != nil || len(got) != 2 || got[0] != (figure{Name: "p99", Value: 100.1192, Unit: "ms", OK: true}) ||
		got[1].Name != "missing" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := loggedFigures([]byte("PASS\n")); err == nil {
		t.Error("a log without figures is taken")
	}
}

// TestPlotModel_IsADrawing: well-formed, each line has its points within the frame, and the axes have their units.
func TestPlotModel_IsADrawing(t *testing.T) {
	t.Parallel()
	var rows []modelRow
	for _, s := range modelShards {
		for i, n := range modelRigs {
			rows = append(rows, modelRow{n, s, modeltest.Result{Rig: modeltest.Load{Gossip: float64(1000 * (i + 1))}}})
		}
	}
	text := string(plotModel(rows))
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for what, want := range map[string]int{"<polyline": 4, "<circle": 12, "kB/s": 2, "rigs in the market": 1} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
}
