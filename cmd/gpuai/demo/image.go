package demo

import (
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"

	"github.com/gpuai/gpuai/market"
)

//go:embed bin
var bin embed.FS

// Name and tag of the sample job's image.
const (
	SampleName = "gpuai/sample"
	SampleTag  = "demo"
)

// Sample is the sample job's program, a static one for linux/amd64. Errors: *market.Error needs-build.
func Sample() ([]byte, error) {
	z, err := bin.ReadFile("bin/sample.gz")
	if err != nil {
		return nil, &market.Error{Code: "needs-build", Kind: market.KindUnavailable, Op: "open sample job", Detail: "this binary was built without it", Hint: "make build"}
	}
	r, err := gzip.NewReader(bytes.NewReader(z))
	if err != nil {
		return nil, fmt.Errorf("open sample job: %w", err)
	}
	return io.ReadAll(r)
}
