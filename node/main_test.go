package node_test

import (
	"os"
	"testing"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/api/apitest"
)

// TestMain holds every answer of the nodes here against the API's document.
func TestMain(m *testing.M) {
	api.Transport = apitest.Transport
	os.Exit(m.Run())
}
