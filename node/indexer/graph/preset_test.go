package graph

import (
	"context"
	"reflect"
	"strings"
	"testing"
)

type presetIn struct {
	Step  string `query:"step" default:"hour"`
	Limit int64  `query:"limit" default:"50"`
	All   bool   `query:"all" default:"true"`
}

type presetOut struct {
	Said string `json:"said"`
}

// TestNew_Presets: a text's preset is quoted, a number's and a bool's are not; without an argument it is what a read
// gets.
func TestNew_Presets(t *testing.T) {
	t.Parallel()
	var got presetIn
	s, err := New([]Read{{Name: "said", About: "what was said", In: reflect.TypeFor[presetIn](),
		Out: reflect.TypeFor[presetOut](), Do: func(_ context.Context, in any) (any, error) {
			got = *in.(*presetIn)
			return presetOut{Said: "x"}, nil
		}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := `said(step: String = "hour", limit: Long = 50, all: Boolean = true)`; !strings.Contains(s.SDL(), want) {
		t.Errorf("no %s in\n%s", want, s.SDL())
	}
	if a := s.Do(t.Context(), Request{Query: "{ said { said } }"}); len(a.Errors) > 0 ||
		got != (presetIn{"hour", 50, true}) {
		t.Errorf("%v, read with %+v", a.Errors, got)
	}
}
