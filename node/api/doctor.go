package api

import (
	"github.com/gpuai/gpuai/node/health"
	"github.com/gpuai/gpuai/node/rest"
)

// DoctorOf is the document of a report, which doctor and the node's health share.
func DoctorOf(schema string, r health.Report) Doctor {
	d := Doctor{Schema: schema, Level: r.Level(), Findings: []Finding{}}
	for _, f := range r.Findings {
		out := Finding{Group: f.Group, Code: f.Code, Level: f.Level, Effect: f.Effect, Actual: f.Actual, Why: f.Why,
			Fix: []rest.Fix{}}
		if f.Op != "" {
			required := f.Required
			out.Required, out.Op, out.Unit = &required, f.Op, f.Unit
		}
		for _, hint := range f.Fix {
			out.Fix = append(out.Fix, rest.FixOf(hint))
		}
		d.Findings = append(d.Findings, out)
	}
	return d
}
