package docker

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gpuai/gpuai/market"
	"github.com/gpuai/gpuai/runtime/job"
)

// Labels of our containers. They are hints: an image can set labels, but never its container's name.
const (
	labelLease   = "gpuai.lease"
	labelAttempt = "gpuai.attempt"
	labelSpec    = "gpuai.spec"
)

// names are those of one node's objects: it is the last 8 characters of the node's peer id.
type names string

func (n names) network() string { return "gpuai-" + string(n) }

func (n names) prefix() string { return "gpuai-" + string(n) + "-" }

func (n names) name(k job.Key, role string) string {
	return fmt.Sprintf("%s%s-%s-%d", n.prefix(), lease16(k.Lease), role, k.Attempt)
}

func (n names) volume(k job.Key, what string) string {
	return n.prefix() + lease16(k.Lease) + "-" + what
}

// keyOf reads a key back from a container's name and its label.
func (n names) keyOf(name, lease string) (k job.Key, role string, ok bool) {
	rest, ours := strings.CutPrefix(strings.TrimPrefix(name, "/"), n.prefix())
	parts := strings.Split(rest, "-")
	if !ours || len(parts) != 3 || parts[1] != "job" && parts[1] != "guard" {
		return k, "", false
	}
	id, err := market.ParseLeaseID(lease)
	if err != nil || lease16(id) != parts[0] {
		return k, "", false
	}
	attempt, err := strconv.Atoi(parts[2])
	return job.Key{Lease: id, Attempt: attempt}, parts[1], err == nil
}

// leaseOf reads how much of a lease's id is in the name of a container or a volume.
func (n names) leaseOf(name string) (lease string, ok bool) {
	rest, ours := strings.CutPrefix(strings.TrimPrefix(name, "/"), n.prefix())
	lease, _, cut := strings.Cut(rest, "-")
	return lease, ours && cut && len(lease) == leaseName
}

// leaseName is how much of a lease's id is in names.
const leaseName = 16

func lease16(id market.LeaseID) string {
	return strings.TrimPrefix(id.String(), "lease_")[:leaseName]
}

// leaseLabels are the labels of all objects of one attempt.
func leaseLabels(k job.Key) map[string]string {
	return map[string]string{labelLease: k.Lease.String(), labelAttempt: strconv.Itoa(k.Attempt)}
}
