// Package images holds the images that come with the binary: the demo's sample job, and a shell for gpuai localnet.
//
// Invariants: none. Concurrency: functions without state. Persistence: none. Next: runtime/image, which serves them.
package images

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/image"
)

//go:embed bin
var bin embed.FS

// Names and tags of the images that come with the binary.
const (
	SampleName = "gpuai/sample"
	SampleTag  = "demo"
	ShellName  = "gpuai/shell"
	ShellTag   = "latest"
)

// Sample is the demo's job. Errors: *market.Error needs-build.
func Sample() (image.Image, error) {
	program, err := embedded("sample.gz")
	return image.Image{Files: map[string][]byte{"sample": program, "tmp/": nil},
		Config: image.Config{Entrypoint: []string{"/sample"}}}, err
}

// Shell is a shell with a small userland, each command a link to one static program. Errors: *market.Error needs-build.
func Shell() (image.Image, error) {
	program, err := embedded("shell.gz")
	if err != nil {
		return image.Image{}, err
	}
	names, err := bin.ReadFile("bin/shell.names")
	if err != nil {
		return image.Image{}, needsBuild(err)
	}
	i := image.Image{Files: map[string][]byte{"bin/shell": program, "tmp/": nil}, Links: map[string]string{},
		Config: image.Config{Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}}
	for _, name := range strings.Fields(string(names)) {
		i.Links["bin/"+name] = "/bin/shell"
	}
	return i, nil
}

func needsBuild(err error) error {
	return &market.Error{
		Code: market.CodeNeedsBuild, Kind: market.KindUnavailable, Op: "open image",
		Detail: "this binary was built without it",
		Err:    err, Hint: "make build",
	}
}

func embedded(name string) ([]byte, error) {
	z, err := bin.ReadFile("bin/" + name)
	if err != nil {
		return nil, needsBuild(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(z))
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return io.ReadAll(r)
}
