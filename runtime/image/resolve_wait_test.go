package image

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// busyRegistry answers the first times requests with 429 and a Retry-After, the rest as served.
func busyRegistry(t *testing.T, times int64, retryAfter string, paths map[string]string) (host string,
	asked *atomic.Int64) {
	t.Helper()
	asked = &atomic.Int64{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= times {
			w.Header().Set("Retry-After", retryAfter)
			w.WriteHeader(http.StatusTooManyRequests)
			fmt.Fprint(w, `{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}`)
			return
		}
		body, ok := paths[strings.TrimPrefix(r.URL.Path, "/v2/a/b/")]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://"), asked
}

func TestResolve_ShortWait_IsWaitedFor(t *testing.T) {
	t.Parallel()
	host, asked := busyRegistry(t, 1, "1",
		map[string]string{"manifests/latest": image(config), "blobs/" + digestOf(config): config})
	start := time.Now()
	if _, err := resolver(t).Resolve(t.Context(), host+"/a/b"); err != nil || asked.Load() != 3 ||
		time.Since(start) < time.Second {
		t.Errorf("%v, %d questions in %v", err, asked.Load(), time.Since(start))
	}
}

func TestResolve_LongWait_IsSaid(t *testing.T) {
	t.Parallel()
	host, asked := busyRegistry(t, 100, "3600", nil)
	_, err := resolver(t).Resolve(t.Context(), host+"/a/b")
	if market.CodeOf(err) != market.CodeRegistryUnreachable || !strings.Contains(err.Error(), "slow down") ||
		!strings.Contains(err.Error(), "1h0m0s") || asked.Load() != 1 {
		t.Errorf("%v, %d questions", err, asked.Load())
	}
	if d := resolver(t).RetryAfter(t.Context(),
		spec.ImageRef{Ref: host + "/a/b", Manifest: digestOf("x")}); d != time.Hour || asked.Load() != 2 {
		t.Errorf("%v, %d questions", d, asked.Load())
	}
}

func TestRetryAfter_Forms(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-7": 0, "soon": 0, "1.5": 0, "99999999999": 0,
		"2000000000": maxWait,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(text, now); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// TestResolve_Index_WithoutPlatforms: an entry need not say its platform; then the image's own config does.
func TestResolve_Index_WithoutPlatforms(t *testing.T) {
	t.Parallel()
	arm := `{"architecture":"arm64","os":"linux"}`
	attest := fmt.Sprintf(`{"digest":%q,"annotations":{"vnd.docker.reference.type":"attestation-manifest"},"platform":{"os":"unknown","architecture":"unknown"}}`, digestOf("a"))
	entry := func(s string) string { return fmt.Sprintf(`{"digest":%q}`, digestOf(s)) }
	index := func(entries ...string) string { return `{"manifests":[` + strings.Join(entries, ",") + `]}` }
	host := registry(t, false, map[string]string{
		"manifests/one":    index(entry(image(config))),
		"manifests/second": index(attest, entry(image(arm)), entry(image(config))),
		"manifests/arm":    index(entry(image(arm))), "manifests/attest": index(attest), "manifests/none": index(),
		"manifests/named": index(
			fmt.Sprintf(`{"digest":%q,"platform":{"os":"linux","architecture":"arm64"}}`, digestOf("x")), attest),
		"manifests/" + digestOf(image(config)): image(config), "manifests/" + digestOf(image(arm)): image(arm),
		"blobs/" + digestOf(config): config, "blobs/" + digestOf(arm): arm,
	})
	for tag, words := range map[string]string{
		"one": "", "second": "", "arm": "linux/arm64", "attest": "names no image at all",
		"none": "names no image at all", "named": "only for linux/arm64",
	} {
		got, err := resolver(t).Resolve(t.Context(), host+"/a/b:"+tag)
		switch {
		case words == "" && (err != nil || got.Manifest != digestOf(image(config))):
			t.Errorf("%s: %+v, %v", tag, got, err)
		case words != "" && (market.CodeOf(err) != market.CodeImageRefused || !strings.Contains(err.Error(), words)):
			t.Errorf("%s: %v, want %q", tag, err, words)
		}
	}
}
