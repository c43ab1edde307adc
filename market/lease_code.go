package market

// Evidence is what an end rests on; never an RPC error, a lost peer table, a new price or a restart of the node's
// process.
type Evidence uint8

// Kinds of evidence, persisted: append-only.
const (
	EvidenceSigned    Evidence = iota + 1 // a signed Stop, Status or Receipt
	EvidenceFinalised                     // the chain's finalised state
	EvidenceMeasured                      // what this node measured
	EvidenceDeadline                      // a deadline in a document that both signed
	EvidenceOverdue                       // the ledger of payments
	EvidenceOperator                      // the person who runs this node
)

// Pause causes, as shown.
const (
	CauseUnpaid  = "unpaid"
	CauseChain   = "chain"
	CauseRuntime = "runtime"
)

// faults says whose doing an end code is. An unknown code counts by its fault in the document, else by who asked.
var faults = map[string]Fault{
	"completed": FaultNone, "image-stalled": FaultNone, "input-stalled": FaultNone, "start-timeout": FaultNone,
	"never-used":           FaultNone,
	"registry-unreachable": FaultNone,
	"job-failed":           FaultCustomer, "job-oom": FaultCustomer, "disk-exceeded": FaultCustomer,
	"stopped":      FaultCustomer,
	"max-duration": FaultCustomer, "cap-reached": FaultCustomer, "payment-overdue": FaultCustomer,
	"channel-low":     FaultCustomer,
	"channel-closing": FaultCustomer, "start-command": FaultCustomer, "image-not-found": FaultCustomer,
	"input-hash":    FaultCustomer,
	"image-too-big": FaultCustomer, "image-refused": FaultCustomer, "input-too-big": FaultCustomer,
	"input-lost": FaultCustomer, "policy-breach": FaultCustomer,
	"provider-stop": FaultProvider, "output-lost": FaultProvider, "not-as-quoted": FaultProvider,
	"device-lost":  FaultProvider,
	"engine-error": FaultProvider, "container-lost": FaultProvider, "rig-restarted": FaultProvider,
	"provider-silent": FaultProvider,
	"gpu-missing":     FaultProvider, "sandbox-weak": FaultProvider, "cdi-stale": FaultProvider,
	"device-stuck": FaultProvider,
	"guard-lost":   FaultProvider, "start-failed": FaultProvider, "disk-full": FaultProvider,
	"equivocation":  FaultProvider,
	"meter-dispute": FaultUnknown, "job-killed": FaultUnknown, "internal": FaultUnknown,
}

// FaultOf returns whose doing an end code is; an unknown code is the doing of the side that says it.
func FaultOf(code string, by Side) Fault {
	if f, ok := faults[code]; ok {
		return f
	}
	if by == CustomerSide {
		return FaultCustomer
	}
	return FaultProvider
}
