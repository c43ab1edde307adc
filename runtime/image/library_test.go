package image

import (
	"errors"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	foreign "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// linux is an image of random layers for linux/amd64, as the library makes it.
func linux(t *testing.T) v1.Image {
	t.Helper()
	img, err := random.Image(100_000, 3)
	if err != nil {
		t.Fatal(err)
	}
	c, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c.OS, c.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, c); err != nil {
		t.Fatal(err)
	}
	return img
}

// TestLibrary_TalksToTheServer: what another implementation of the protocol pushes comes back whole, and is what the
// resolver pins.
func TestLibrary_TalksToTheServer(t *testing.T) {
	t.Parallel()
	s := serve(t)
	ref, err := name.ParseReference(s.Host + "/me/tools:1")
	if err != nil {
		t.Fatal(err)
	}
	img := linux(t)
	if err := remote.Write(ref, img, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	back, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := back.Digest(); err != nil || got != want {
		t.Errorf("%s came back as %s, %v", want, got, err)
	}
	layers, err := back.Layers()
	if err != nil || len(layers) != 3 {
		t.Fatal(len(layers), err)
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, r) // the reader checks the digest
		if err = errors.Join(err, r.Close()); err != nil {
			t.Error(err)
		}
	}
	pinned, err := resolver(t).Resolve(t.Context(), s.Host+"/me/tools:1")
	if err != nil || pinned.Manifest != want.String() {
		t.Errorf("%+v, %v", pinned, err)
	}
	made, err := s.Add("gpuai/made", "1", Image{Files: map[string][]byte{"a": []byte("b")}})
	if err != nil {
		t.Fatal(err)
	}
	if ref, err = name.ParseReference(made.Ref); err != nil {
		t.Fatal(err)
	}
	own, err := remote.Image(ref, remote.WithContext(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	if d, err := own.Digest(); err != nil || d.String() != made.Manifest {
		t.Errorf("made %s, read as %s, %v", made.Manifest, d, err)
	}
	if layers, err = own.Layers(); err != nil || len(layers) != 1 {
		t.Fatal(len(layers), err)
	}
	if d, err := layers[0].DiffID(); err != nil || d.Hex == "" {
		t.Errorf("diff id %s, %v", d, err)
	}
}

// TestResolve_OfTheLibrarysRegistry: an index as another implementation serves it.
func TestResolve_OfTheLibrarysRegistry(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(foreign.New(foreign.Logger(slog.NewLogLogger(slog.DiscardHandler, 0))))
	t.Cleanup(s.Close)
	host := strings.TrimPrefix(s.URL, "http://")
	img := linux(t)
	arm, err := random.Image(1000, 1)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index,
		mutate.IndexAddendum{Add: arm, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux",
			Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux",
			Architecture: "amd64"}}})
	ref, err := name.ParseReference(host + "/me/index:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index, remote.WithContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	got, err := resolver(t).Resolve(t.Context(), host+"/me/index:1")
	if err != nil || got.Manifest != want.String() || got.Config != config.String() || got.CompressedBytes == 0 {
		t.Errorf("%+v, %v; want %s of %s", got, err, want, config)
	}
}
