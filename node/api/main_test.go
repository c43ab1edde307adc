package api_test

import (
	"os"
	"testing"

	"github.com/gpuai/gpuai/node/api"
	"github.com/gpuai/gpuai/node/api/apitest"
)

// TestMain holds every answer of every test here against the document.
func TestMain(m *testing.M) {
	api.Transport = apitest.Transport
	os.Exit(m.Run())
}
