package indexer

import (
	"net/http"
	"strings"
	"time"

	"github.com/gpuai/gpuai/node/indexer/public"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/node/web"
)

// Limits of an address at the site's files: a page is about ten of them.
const (
	filesPerSecond = 50
	filesAtOnce    = 200
)

// beside serves the site beside the public API: all paths are its own but those of the API.
func beside(api http.Handler) http.Handler {
	site := rest.Guarded(web.Handler(), rest.Limit(filesPerSecond, filesAtOnce, rest.ByAddress, time.Now))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == public.Base || strings.HasPrefix(r.URL.Path, public.Base+"/") {
			api.ServeHTTP(w, r)
			return
		}
		site.ServeHTTP(w, r)
	})
}
