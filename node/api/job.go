package api

import (
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/spec"
)

// RequestOf is what a job file asks for, without the local paths of its inputs, whose size the caller adds.
func RequestOf(f spec.File) OrderRequest {
	r := OrderRequest{
		Name: f.Name, Image: f.Image, Spec: f.Spec(), Terms: f.Terms(), Classes: f.Classes(), Devices: f.Devices(),
		CPUMilli: f.CPUMilli,
		RAM:      f.Memory, Disk: f.Disk, Shm: f.Shm, Egress: f.Egress, HasInputs: len(f.Inputs) > 0,
		MaxRate: f.Limits.MaxRate, MaxTotal: f.Limits.MaxTotal,
		MaxDurationMS: f.Limits.MaxDuration.Milliseconds(), StartTimeoutMS: f.Limits.StartTimeout.Milliseconds(),
		StopGraceMS: f.StopGrace.Milliseconds(),
		AwayMS:      f.Limits.Away.Milliseconds(),
	}
	for _, o := range f.Outputs {
		r.OutputTo = append(r.OutputTo, o.To)
	}
	for _, id := range f.Placement.Providers {
		r.Providers = append(r.Providers, id.String())
	}
	for _, id := range f.Placement.Exclude {
		r.Exclude = append(r.Exclude, id.String())
	}
	return r
}

// FromJob returns the request with its job file read, if it has one. Errors: spec-…, naming keys but no value: it may
// be a secret.
func (r OrderRequest) FromJob() (OrderRequest, error) {
	if r.Job == nil {
		return r, nil
	}
	f, faults := spec.ParseFile(r.Job)
	if len(faults) > 0 {
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
		return r, &market.Error{Code: faults[0].Code, Kind: market.KindInvalid, Op: "read job",
			Detail: strings.Join(lines, "; "), Hint: "gpuai job-file"}
	}
	out := RequestOf(f)
	out.Key, out.InputBytes, out.KeepChannel = r.Key, r.InputBytes, r.KeepChannel
	if out.AwayMS == 0 {
		out.AwayMS = r.AwayMS
	}
	return out, nil
}
