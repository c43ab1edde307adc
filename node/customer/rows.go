package customer

import (
	"strings"

	"github.com/gpuai/gpuai/node/store"
	"github.com/gpuai/gpuai/runtime/spec"
)

// Buckets of this role.
const (
	bucketOrders = store.BucketOrders
	bucketTicks  = store.BucketOwnTicks
)

// load reads channels and orders.
func (c *Customer) load() error {
	if err := c.Load(); err != nil {
		return err
	}
	return c.orders.load()
}

// imageName is the Order's image: name@digest of the manifest, also where the user pinned another one (an index, which
// the registry resolved).
func imageName(i spec.ImageRef) string {
	name, _, _ := strings.Cut(i.Ref, "@")
	return name + "@" + i.Manifest
}
