package customer

import (
	"testing"

	"github.com/gpuai/gpuai/runtime/spec"
)

func TestImageName_PinnedByTheUser_NamesOneDigest(t *testing.T) {
	t.Parallel()
	for _, ref := range []string{"127.0.0.1:5000/me/tools:1", "127.0.0.1:5000/me/tools:1@sha256:old"} {
		if got, want := imageName(spec.ImageRef{Ref: ref, Manifest: "sha256:new"}),
			"127.0.0.1:5000/me/tools:1@sha256:new"; got != want {
			t.Errorf("%s: %s, want %s", ref, got, want)
		}
	}
}
