package api

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/node/rest"
	"github.com/gpuai/gpuai/runtime/spec"
)

// OrderRequest is a job, and what is said of its order alone.
type OrderRequest struct {
	Key         string    `json:"-"` // the header Idempotency-Key
	Job         spec.File `json:"job"`
	InputBytes  uint64    `json:"input_bytes,omitempty"` // of all inputs together, as the sender has measured them
	KeepChannel bool      `json:"keep_channel,omitempty"`
}

// orderBody is an OrderRequest on its way in: its job is read by the rules of a job file.
type orderBody struct {
	Job         jobDoc `json:"job"`
	InputBytes  uint64 `json:"input_bytes,omitempty"` // of all inputs together, as the sender has measured them
	KeepChannel bool   `json:"keep_channel,omitempty"`
}

// jobDoc is a job file as JSON.
type jobDoc struct{ json.RawMessage }

// Schema implements huma.SchemaProvider: the one of job files, which the command line prints too.
func (jobDoc) Schema(r huma.Registry) *huma.Schema {
	var job map[string]any
	if err := json.Unmarshal(spec.Schema(), &job); err != nil {
		panic(fmt.Sprintf("the schema of job files is no JSON: %v", err)) // our own mistake, seen at the first start
	}
	delete(job, "$schema")
	r.Map()["Job"] = &huma.Schema{Extensions: job}
	return &huma.Schema{Ref: "#/components/schemas/Job"}
}

// Schema implements huma.SchemaProvider.
func (OrderRequest) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[orderBody](), true, "OrderBody")
}

type orderIn struct{ Body orderBody }

// request is the order that a body asks for. Errors: spec-…, naming keys but no value: it may be a secret.
func (in *orderIn) request(ctx context.Context) (out OrderRequest, err error) {
	out = OrderRequest{Key: rest.Key(ctx), InputBytes: in.Body.InputBytes, KeepChannel: in.Body.KeepChannel}
	out.Job, err = readJob(in.Body.Job.RawMessage)
	return out, err
}

// jobCodes are what a job as JSON can be refused for.
var jobCodes = []market.Code{market.CodeSpecSyntax, market.CodeSpecSize, market.CodeSpecUnknownKey,
	market.CodeSpecType, market.CodeSpecUnit, market.CodeSpecFormat, market.CodeSpecRange, market.CodeSpecRequired,
	market.CodeSpecPath, market.CodeSpecEnvReserved, market.CodeSpecConflict, market.CodeSpecImage}

func readJob(raw []byte) (spec.File, error) {
	f, faults := spec.ParseFile(raw)
	if len(faults) == 0 {
		return f, nil
	}
	var lines []string
	for _, x := range faults {
		switch line := x.Path; {
		case x.Code == market.CodeSpecUnknownKey:
			lines = append(lines, "an unknown key ["+string(x.Code)+"]")
		case x.Code == market.CodeSpecUnit: // its text begins with the value
			lines = append(lines, line+": a unit is missing ["+string(x.Code)+"]")
		default:
			lines = append(lines, line+": want "+x.Want+" ["+string(x.Code)+"]")
		}
	}
	return f, &market.Error{Code: faults[0].Code, Kind: market.KindInvalid, Op: "read job",
		Detail: strings.Join(lines, "; "), Hint: "gpuai help job-file"}
}
