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
