// Package image finds, makes and serves container images: the resolver pins names by asking registries, the server is a
// registry on loopback.
//
// Invariants: what a registry answers is bounded, and counts only under the hash of its bytes; plain HTTP reaches
// loopback only; no credentials are sent. Concurrency: all methods are safe to call from many goroutines. Persistence:
// none, but the server's temporary folder. Next: Resolver, Server.
package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Limits of what a registry may answer.
const (
	maxManifest  = 4 << 20
	maxConfig    = 1 << 20
	maxLayers    = 127
	maxRedirects = 3
	maxUnnamed   = 4 // entries of an index without a platform that are looked at
	resolveTime  = 30 * time.Second
	waitTime     = 5 * time.Second
	maxPatience  = 10 * time.Second // that a look-up waits for a registry that asks for it
	maxWait      = 24 * time.Hour
)

const acceptManifests = "application/vnd.oci.image.index.v1+json, " +
	"application/vnd.docker.distribution.manifest.list.v2+json, " +
	"application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"

// hubHost answers for docker.io.
const hubHost = "registry-1.docker.io"

var challengePart = regexp.MustCompile(`([a-z]+)="([^"]*)"`)

// Resolver turns image names into pinned ImageRefs by asking registries anonymously. Safe for many goroutines.
type Resolver struct {
	client *http.Client
	os     string
	arch   string
}

// NewResolver makes a resolver for a platform, "linux/amd64". transport nil: http.DefaultTransport.
func NewResolver(platform string, transport http.RoundTripper) (*Resolver, error) {
	system, arch, ok := strings.Cut(platform, "/")
	if !ok || system == "" || arch == "" {
		return nil, fmt.Errorf("platform %q: %w: want linux/amd64", platform, market.ErrFormat)
	}
	if transport == nil {
		transport = http.DefaultTransport
	}
	c := &http.Client{Transport: transport, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > maxRedirects {
			return fmt.Errorf("more than %d redirects", maxRedirects)
		}
		if via[0].URL.Scheme == "https" && r.URL.Scheme != "https" {
			return errors.New("redirect from https to http")
		}
		return nil
	}}
	return &Resolver{client: c, os: system, arch: arch}, nil
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      uint64 `json:"size"`
	Platform  *struct {
		OS      string `json:"os"`
		Arch    string `json:"architecture"`
		Variant string `json:"variant"`
	} `json:"platform"`
	Artifact    string            `json:"artifactType"`
	Annotations map[string]string `json:"annotations"`
}

// imageKinds are what an entry of an index may say about itself and be an image: nothing, or its config's type.
var imageKinds = map[string]bool{"": true, configType: true, "application/vnd.docker.container.image.v1+json": true}

// isImage is false for what lies beside images in an index: attestations, signatures.
func (d descriptor) isImage() bool {
	return imageKinds[d.Artifact] && d.Annotations["vnd.docker.reference.type"] == "" &&
		(d.Platform == nil || d.Platform.OS != "unknown") && spec.ValidDigest(d.Digest)
}

// imageManifest is an image manifest or an index: exactly one of Layers and Manifests counts.
type imageManifest struct {
	Config    descriptor   `json:"config"`
	Layers    []descriptor `json:"layers"`
	Manifests []descriptor `json:"manifests"`
}

// Resolve asks the registry what ref is now. The manifest's bytes are hashed here, so the registry cannot say one
// digest and mean another. UnpackedBytes stays 0: registries do not state it. Errors: *market.Error spec-image (bad
// name), image-not-found, image-denied, image-refused (platform, layers, not an image), registry-unreachable.
func (r *Resolver) Resolve(ctx context.Context, ref string) (spec.ImageRef, error) {
	name, err := spec.ParseReference(ref)
	if err != nil {
		return spec.ImageRef{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTime)
	defer cancel()
	q := &lookup{r: r, name: name, ref: ref, patience: maxPatience}
	want := name.Digest
	if want == "" {
		want = name.Tag
	}
	m, digest, err := q.manifest(ctx, want)
	if err != nil {
		return spec.ImageRef{}, err
	}
	if m.Manifests != nil {
		return q.index(ctx, m.Manifests)
	}
	return q.image(ctx, m, digest)
}

// RetryAfter asks the registry of a pinned image how long it wants to be left alone: 0 if it answers, or does not say.
// It never takes longer than a few seconds. The engine hears the same answer and does not pass it on.
func (r *Resolver) RetryAfter(ctx context.Context, image spec.ImageRef) time.Duration {
	name, err := spec.ParseReference(image.Ref)
	if err != nil || !spec.ValidDigest(image.Manifest) {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	q := &lookup{r: r, name: name, ref: image.Ref, patience: -1}
	_, _ = q.get(ctx, "/manifests/"+image.Manifest, acceptManifests, maxManifest) // only its wish counts
	return q.wait
}

// index resolves the image of the wanted platform. An entry may leave its platform out; then its config says it.
func (q *lookup) index(ctx context.Context, list []descriptor) (spec.ImageRef, error) {
	var have, unnamed []string
	for _, d := range list {
		switch {
		case !d.isImage():
		case d.Platform == nil || d.Platform.OS == "" && d.Platform.Arch == "":
			unnamed = append(unnamed, d.Digest)
		case d.Platform.OS == q.r.os && d.Platform.Arch == q.r.arch:
			m, digest, err := q.manifest(ctx, d.Digest)
			if err != nil {
				return spec.ImageRef{}, err
			}
			return q.image(ctx, m, digest)
		default:
			have = append(have, d.Platform.OS+"/"+d.Platform.Arch)
		}
	}
	var last error
	for _, d := range unnamed[:min(len(unnamed), maxUnnamed)] {
		m, digest, err := q.manifest(ctx, d)
		if err != nil {
			return spec.ImageRef{}, err
		}
		img, err := q.image(ctx, m, digest)
		if err == nil || market.CodeOf(err) != market.CodeImageRefused {
			return img, err
		}
		last = err
	}
	why := fmt.Sprintf("no image for %s/%s", q.r.os, q.r.arch)
	switch {
	case len(have) > 0:
		return spec.ImageRef{}, refused(q.ref, why+", only for "+cut(strings.Join(have, " "), 120))
	case last != nil:
		return spec.ImageRef{}, last
	}
	return spec.ImageRef{}, refused(q.ref, why+": its index names no image at all")
}

// lookup is one resolution; it keeps the token of the repository.
type lookup struct {
	r     *Resolver
	name  spec.Reference
	ref   string
	token string

	wait     time.Duration // what the registry asked for last
	patience time.Duration // how much of such waiting is left
}

func refused(ref, why string) error {
	return &market.Error{
		Code: market.CodeImageRefused, Kind: market.KindInvalid, Op: "resolve image " + ref, Detail: why,
		Hint: "use another tag or image",
	}
}

func (q *lookup) manifest(ctx context.Context, want string) (m imageManifest, digest string, err error) {
	raw, err := q.get(ctx, "/manifests/"+want, acceptManifests, maxManifest)
	if err != nil {
		return m, "", err
	}
	digest = sum(raw)
	if spec.ValidDigest(want) && want != digest {
		return m, "", refused(q.ref, "the registry sent another manifest than "+want)
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, "", refused(q.ref, "the registry sent no image manifest")
	}
	return m, digest, nil
}

func (q *lookup) image(ctx context.Context, m imageManifest, digest string) (spec.ImageRef, error) {
	switch {
	case !spec.ValidDigest(m.Config.Digest):
		return spec.ImageRef{}, refused(q.ref, "it is no image: the manifest names no config")
	case len(m.Layers) == 0 || len(m.Layers) > maxLayers:
		return spec.ImageRef{}, refused(q.ref, fmt.Sprintf("%d layers, 1 to %d are allowed", len(m.Layers), maxLayers))
	}
	raw, err := q.get(ctx, "/blobs/"+m.Config.Digest, "*/*", maxConfig)
	if err != nil {
		return spec.ImageRef{}, err
	}
	if sum(raw) != m.Config.Digest {
		return spec.ImageRef{}, refused(q.ref, "the registry sent another config than the manifest names")
	}
	var c struct{ OS, Architecture string }
	if err := json.Unmarshal(raw, &c); err != nil || c.OS != q.r.os || c.Architecture != q.r.arch {
		return spec.ImageRef{}, refused(q.ref,
			fmt.Sprintf("it is for %s/%s, want %s/%s", cut(c.OS, 20), cut(c.Architecture, 20), q.r.os, q.r.arch))
	}
	out := spec.ImageRef{Ref: q.ref, Manifest: digest, Config: m.Config.Digest, Platform: q.r.os + "/" + q.r.arch}
	for _, l := range m.Layers {
		if l.Size > 1<<42 {
			return spec.ImageRef{}, refused(q.ref, "a layer claims more than 4 TiB")
		}
		out.CompressedBytes += l.Size
	}
	return out, nil
}

func (q *lookup) get(ctx context.Context, path, accept string, limit int64) ([]byte, error) {
	u := scheme(q.name.Host) + "://" + apiHost(q.name.Host) + "/v2/" + q.name.Repo + path
	asked := false
	for {
		raw, status, challenge, err := q.once(ctx, u, accept, limit)
		switch {
		case err != nil:
			return nil, q.unreachable(err)
		case status == http.StatusOK:
			return raw, nil
		case status == http.StatusUnauthorized && !asked && strings.HasPrefix(strings.ToLower(challenge), "bearer "):
			asked = true
			if err := q.login(ctx, challenge); err != nil {
				return nil, err
			}
		case q.wait > 0 && q.wait <= q.patience:
			q.patience -= q.wait
			select {
			case <-time.After(q.wait):
			case <-ctx.Done():
				return nil, q.unreachable(ctx.Err())
			}
		default:
			return nil, q.status(status, raw)
		}
	}
}

func (q *lookup) once(ctx context.Context, u, accept string, limit int64) (raw []byte, status int, challenge string,
	err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, 0, "", err
	}
	if accept != "" {
		req.Header.Set("Accept", accept)
	}
	if q.token != "" {
		req.Header.Set("Authorization", "Bearer "+q.token)
	}
	res, err := q.r.client.Do(req)
	if err != nil {
		return nil, 0, "", err
	}
	raw, err = io.ReadAll(io.LimitReader(res.Body, limit+1))
	err = errors.Join(err, res.Body.Close())
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("answer above %d bytes", limit)
	}
	q.wait = 0
	if res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable {
		q.wait = retryAfter(res.Header.Get("Retry-After"), time.Now())
	}
	return raw, res.StatusCode, res.Header.Get("WWW-Authenticate"), err
}

// retryAfter reads the header: seconds or a date; 0 if it is neither, or in the past.
func retryAfter(h string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(strings.TrimSpace(h), 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, maxWait)
	}
	if at, err := http.ParseTime(h); err == nil {
		return min(max(at.Sub(now), 0), maxWait)
	}
	return 0
}

// login fetches an anonymous pull token from the realm that the registry names.
func (q *lookup) login(ctx context.Context, challenge string) error {
	part := map[string]string{}
	for _, m := range challengePart.FindAllStringSubmatch(challenge, -1) {
		part[m[1]] = m[2]
	}
	u, err := url.Parse(part["realm"])
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !loopback(q.name.Host) ||
		!loopback(u.Host)) {
		return q.unreachable(fmt.Errorf("registry names no usable token server: %q", cut(part["realm"], 80)))
	}
	v := u.Query()
	v.Set("service", part["service"])
	v.Set("scope", "repository:"+q.name.Repo+":pull")
	u.RawQuery = v.Encode()
	raw, status, _, err := q.once(ctx, u.String(), "application/json", maxConfig)
	if err != nil {
		return q.unreachable(err)
	}
	if status != http.StatusOK {
		return q.status(status, raw)
	}
	var t struct {
		Token  string `json:"token"`
		Access string `json:"access_token"`
	}
	if err := json.Unmarshal(raw, &t); err != nil || t.Token == "" && t.Access == "" {
		return q.unreachable(errors.New("token server sent no token"))
	}
	if q.token = t.Token; q.token == "" {
		q.token = t.Access
	}
	return nil
}

func (q *lookup) unreachable(err error) error {
	return &market.Error{
		Code: market.CodeRegistryUnreachable, Kind: market.KindUnavailable, Op: "resolve image " + q.ref, Err: err,
		Hint: "check the name's host and your connection, then try again",
	}
}

// status turns an answer into an error with the registry's own words.
func (q *lookup) status(status int, raw []byte) error {
	e := &market.Error{Kind: market.KindUnavailable, Op: "resolve image " + q.ref,
		Detail: fmt.Sprintf("HTTP %d%s", status, words(raw))}
	switch status {
	case http.StatusNotFound:
		e.Code, e.Kind, e.Hint = market.CodeImageNotFound, market.KindNotFound, "check name and tag"
	case http.StatusUnauthorized, http.StatusForbidden:
		e.Code, e.Kind, e.Hint = market.CodeImageDenied, market.KindDenied,
			"check the name, many registries say this of "+
				"one that is not there; private images are not there yet: use one that anybody can pull, and "+
				"bring data "+
				"and code by --in"
	default:
		e.Code, e.Hint = market.CodeRegistryUnreachable, "try again later"
		if q.wait > 0 {
			e.Detail += "; it asks to be left alone for " + q.wait.Round(time.Second).String()
			e.Hint = "try again in " + q.wait.Round(time.Second).String()
		}
	}
	return e
}

// words returns ": " and the registry's first message, printable and cut, or "".
func words(raw []byte) string {
	var body struct {
		Errors []struct {
			Message string `json:"message"`
		} `json:"errors"`
	}
	if json.Unmarshal(raw, &body) != nil || len(body.Errors) == 0 || body.Errors[0].Message == "" {
		return ""
	}
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, body.Errors[0].Message)
	return ": " + cut(clean, 120)
}

func apiHost(host string) string {
	if host == "docker.io" {
		return hubHost
	}
	return host
}

// scheme is https but for loopback hosts, where engines accept plain HTTP too.
func scheme(host string) string {
	if loopback(host) {
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

func cut(s string, n int) string { return s[:min(len(s), n)] }
