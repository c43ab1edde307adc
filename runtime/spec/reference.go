package spec

import (
	"fmt"
	"net"
	"regexp"
	"strings"

	"github.com/gpuai/gpuai/market"
)

const (
	maxReference = 512
	// The names without a host belong to Docker Hub, whose API answers under another name; every engine reads them so.
	hubName = "docker.io"
	hubHost = "registry-1.docker.io"
)

var (
	repoPart = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	tagPart  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
	hostPart = regexp.MustCompile(
		`^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$`)
	digestPart = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
)

// Reference is a parsed image name. Tag is "latest" if neither tag nor digest was written.
type Reference struct {
	Host, Repo, Tag, Digest string
}

// ParseReference reads "pytorch:2.6", "ghcr.io/a/b@sha256:…", "127.0.0.1:5000/x". Errors: *market.Error spec-image.
func ParseReference(s string) (r Reference, err error) {
	bad := func(why string) (Reference, error) {
		return Reference{}, &market.Error{
			Code: "spec-image", Kind: market.KindInvalid, Op: "read image name",
			Detail: fmt.Sprintf("%q: %s", cut(s, 80), why),
			Hint:   "write it as in pytorch/pytorch:2.6.0-cuda12.4-cudnn9-runtime",
		}
	}
	if s == "" || len(s) > maxReference {
		return bad("1 to 512 bytes")
	}
	name, digest, pinned := strings.Cut(s, "@")
	if pinned && !digestPart.MatchString(digest) {
		return bad("the part after @ is no sha256 digest")
	}
	r.Digest = digest
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, r.Tag = name[:i], name[i+1:]
		if !tagPart.MatchString(r.Tag) {
			return bad("bad tag")
		}
	}
	if r.Tag == "" && !pinned {
		r.Tag = "latest"
	}
	host, rest, slash := strings.Cut(name, "/")
	if slash && (strings.ContainsAny(host, ".:[") || host == "localhost") {
		r.Host, r.Repo = host, rest
	} else {
		r.Host, r.Repo = hubName, name
	}
	if !hostPart.MatchString(r.Host) {
		return bad("bad registry host")
	}
	if r.Host == hubName && !strings.Contains(r.Repo, "/") {
		r.Repo = "library/" + r.Repo
	}
	for _, p := range strings.Split(r.Repo, "/") {
		if !repoPart.MatchString(p) {
			return bad("repository names are lower-case letters, digits and - _ . between them")
		}
	}
	return r, nil
}

// Name returns "host/repo" without tag or digest, as an engine pulls it.
func (r Reference) Name() string { return r.Host + "/" + r.Repo }

func (r Reference) apiHost() string {
	if r.Host == hubName {
		return hubHost
	}
	return r.Host
}

// scheme is https but for loopback hosts, where engines accept plain HTTP too.
func (r Reference) scheme() string {
	if loopback(r.Host) {
		return "http"
	}
	return "https"
}

func loopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
