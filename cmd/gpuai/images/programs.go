package images

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"strings"

	"github.com/gpuai/gpuai/market"
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
func Sample() (Image, error) {
	program, err := embedded("sample.gz")
	return Image{Program: program, Path: "sample", Entrypoint: []string{"/sample"}}, err
}

// Shell is a shell with a small userland, each command a link to one static program. Errors: *market.Error needs-build.
func Shell() (Image, error) {
	program, err := embedded("shell.gz")
	if err != nil {
		return Image{}, err
	}
	names, err := bin.ReadFile("bin/shell.names")
	if err != nil {
		return Image{}, needsBuild(err)
	}
	i := Image{Program: program, Path: "bin/shell", Cmd: []string{"sh"}, Env: []string{"PATH=/bin"}}
	for _, name := range strings.Fields(string(names)) {
		i.Links = append(i.Links, "bin/"+name)
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
