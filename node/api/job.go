package api

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/gpuai/gpuai/market"
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
	Job         json.RawMessage `json:"job"`
	InputBytes  uint64          `json:"input_bytes"`
	KeepChannel bool            `json:"keep_channel"`
}

// orderRequest reads the body of an order. Errors: body's; spec-…, naming keys but no value: it may be a secret.
func orderRequest(r *http.Request) (out OrderRequest, err error) {
	b, err := body[orderBody](r, false)
	if err != nil {
		return out, err
	}
	if b.Job == nil {
		return out, usage(http.StatusBadRequest, "the body is not the expected JSON: it has no job")
	}
	out = OrderRequest{Key: requestKey(r.Context()), InputBytes: b.InputBytes, KeepChannel: b.KeepChannel}
	out.Job, err = readJob(b.Job)
	return out, err
}

func readJob(raw []byte) (spec.File, error) {
	f, faults := spec.ParseFile(raw)
	if len(faults) == 0 {
		return f, nil
	}
	var lines []string
	for _, x := range faults {
		switch line := x.Path; {
		case x.Code == "spec-unknown-key":
			lines = append(lines, "an unknown key ["+x.Code+"]")
		case x.Code == "spec-unit": // its text begins with the value
			lines = append(lines, line+": a unit is missing ["+x.Code+"]")
		default:
			lines = append(lines, line+": want "+x.Want+" ["+x.Code+"]")
		}
	}
	return f, &market.Error{Code: faults[0].Code, Kind: market.KindInvalid, Op: "read job",
		Detail: strings.Join(lines, "; "), Hint: "gpuai help job-file"}
}
