package spec

import (
	"fmt"
	"regexp"

	"github.com/distribution/reference"

	"github.com/gpuai/gpuai/market"
)

const (
	maxReference = 512
	hubName      = "docker.io" // what a name without a host belongs to; every engine reads it so
)

var digestPart = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// Reference is a parsed image name. Tag is "latest" if neither tag nor digest was written.
type Reference struct {
	Host, Repo, Tag, Digest string
}

// ParseReference reads "pytorch:2.6", "ghcr.io/a/b@sha256:…", "127.0.0.1:5000/x" as engines do: rules about images and
// what is pulled rest on one reading. Errors: *market.Error spec-image.
func ParseReference(s string) (r Reference, err error) {
	bad := func(why string) (Reference, error) {
		return Reference{}, &market.Error{
			Code: market.CodeSpecImage, Kind: market.KindInvalid, Op: "read image name",
			Detail: fmt.Sprintf("%q: %s", cut(s, 80), why),
			Hint:   "write it as in pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
		}
	}
	if s == "" || len(s) > maxReference {
		return bad("1 to 512 bytes")
	}
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return bad(cut(err.Error(), 160))
	}
	r = Reference{Host: reference.Domain(named), Repo: reference.Path(named)}
	if d, ok := named.(reference.Digested); ok {
		if r.Digest = d.Digest().String(); !ValidDigest(r.Digest) {
			return bad("the part after @ is no sha256 digest")
		}
	}
	if t, ok := named.(reference.Tagged); ok {
		r.Tag = t.Tag()
	} else if r.Digest == "" {
		r.Tag = "latest"
	}
	return r, nil
}

// ValidDigest reports whether s is "sha256:" and 64 hex digits.
func ValidDigest(s string) bool { return digestPart.MatchString(s) }

// Name returns "host/repo" without tag or digest, as an engine pulls it.
func (r Reference) Name() string { return r.Host + "/" + r.Repo }
