package spec

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gpuai/gpuai/market"
)

// hubAliases are hosts that serve what docker.io names: a rule about one is a rule about all.
var hubAliases = map[string]bool{"index.docker.io": true, "registry-1.docker.io": true, "registry.hub.docker.com": true}

// ImageRule is a prefix of repositories, "docker.io/library", or one image by its digest. The zero value matches
// nothing.
type ImageRule struct{ prefix, digest string }

// ParseImageRule reads a rule: "python" is docker.io/library/python; "ghcr.io/me", "pytorch/" and "registry.example"
// are all below them; "127.0.0.1:5000/" a registry with its port; "python@sha256:…" that image only. A tag is refused,
// since it is only the customer's word: what runs is the digest. Errors: *market.Error spec-image.
func ParseImageRule(s string) (ImageRule, error) {
	bad := func(why string) (ImageRule, error) {
		return ImageRule{}, &market.Error{
			Code: market.CodeSpecImage, Kind: market.KindInvalid, Op: "read image rule",
			Detail: fmt.Sprintf("%q: %s", cut(s, 80), why),
			Hint:   "write it as in docker.io/library, ghcr.io/me or python",
		}
	}
	name, digest, pinned := strings.Cut(strings.TrimSpace(s), "@")
	if name == "" || len(s) > maxReference || pinned && !ValidDigest(digest) {
		return bad("1 to 512 bytes, and after an @ a sha256 digest")
	}
	if strings.LastIndexByte(name, ':') > strings.LastIndexByte(name, '/') {
		return bad("a tag, or a registry without its final /")
	}
	first, _, slash := strings.Cut(name, "/")
	if name = strings.TrimSuffix(name, "/"); !slash && !isHost(first) {
		name = "library/" + name
	}
	const inside = "/x/x" // what is below the prefix reads as engines read it
	ref, err := ParseReference(name + inside)
	if err != nil {
		return bad("no name of a registry or of repositories: lower-case letters, digits and - _ . between them")
	}
	repo := strings.TrimSuffix("/"+ref.Repo, inside)
	if repo == "" && pinned {
		return bad("a digest of no repository")
	}
	return ImageRule{prefix: canonicalHost(ref.Host) + repo, digest: digest}, nil
}

func isHost(first string) bool { return strings.ContainsAny(first, ".:[") || first == "localhost" }

// canonicalHost makes hosts comparable: one name of the hub, small letters, the port as a number and none where it is
// that of https.
func canonicalHost(host string) string {
	host = strings.ToLower(host)
	if i := strings.LastIndexByte(host, ':'); i > strings.LastIndexByte(host, ']') {
		port, err := strconv.ParseUint(host[i+1:], 10, 16)
		switch {
		case err == nil && port == 443:
			host = host[:i]
		case err == nil:
			host = host[:i+1] + strconv.FormatUint(port, 10)
		}
	}
	if hubAliases[host] {
		return hubName
	}
	return host
}

// Matches reports whether an image is below the rule's prefix, or is the one of its digest. Names end at / and :, so
// "docker.io/lib" does not match docker.io/library.
func (r ImageRule) Matches(ref Reference) bool {
	host, repo := canonicalHost(ref.Host), ref.Repo
	if host == hubName && !strings.Contains(repo, "/") {
		repo = "library/" + repo
	}
	name := host + "/" + repo
	rest, ok := strings.CutPrefix(name, r.prefix)
	switch {
	case !ok || r.prefix == "":
		return false
	case r.digest != "":
		return rest == "" && r.digest == ref.Digest
	}
	return rest == "" || rest[0] == '/' || rest[0] == ':'
}

func (r ImageRule) String() string {
	if r.digest != "" {
		return r.prefix + "@" + r.digest
	}
	return r.prefix
}
