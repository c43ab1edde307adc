//go:build integration

package itest

import (
	"archive/tar"
	"bytes"
	"testing"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// TestEmptyInputs_FileAndFolder_Arrive: inputs without a single byte are inputs.
func TestEmptyInputs_FileAndFolder_Arrive(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.seller(t)
	c := r.buyer(t)
	q := r.order("empty", "stat=/workspace/in/none", "stat=/workspace/in/folder")
	q.Job.Inputs = []spec.Source{{From: "in", To: "/workspace/in"}}
	o, err := c.api.CreateOrder(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range []*tar.Header{{Name: "in/folder/", Typeflag: tar.TypeDir, Mode: 0o755},
		{Name: "in/none", Mode: 0o644}} {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.api.PutInputs(t.Context(), o.ID, &b); err != nil {
		t.Fatal(err)
	}
	if v := c.ended(t, o.ID); v.Code != market.CodeCompleted {
		t.Fatalf("%s %s %s; %+v", v.Standing, v.Code, v.Detail, v.Steps)
	}
}
