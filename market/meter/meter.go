// Package meter counts the billable time of one lease.
//
// Invariants: time grows only between two proofs that the job is alive; of a gap at most one tick is billable; the sum
// never shrinks and never passes its limit. Times are milliseconds of a boot-time clock of one boot: a value below the
// last proof counts nothing.
// Concurrency: values, safe to copy. Persistence: inside market.Lease. Next: market.Lease, docs/flows/payment.md.
package meter

// Meter is a cumulative count. The provider's starts at Ready; the customer's own starts when it hears of Ready.
type Meter struct {
	BillableMS   uint64 // counted so far
	PausedMS     uint64 // frozen by the node, not billed
	UnobservedMS uint64 // parts of gaps that were not billed
	Running      bool   // counting since ProofMS
	ProofMS      uint64 // boot clock at the last proof
	PausedAtMS   uint64 // boot clock when it closed, while it is closed
}

// Open starts counting at the boot time at; a time since Close counts as paused. Opening an open meter does nothing.
func (m Meter) Open(at uint64) Meter {
	if m.Running {
		return m
	}
	if m.PausedAtMS != 0 && at > m.PausedAtMS {
		m.PausedMS += at - m.PausedAtMS
	}
	m.Running, m.ProofMS, m.PausedAtMS = true, at, 0
	return m
}

// Proof counts the time since the last proof: all of it up to gap, the rest as unobserved. limit caps BillableMS. A
// closed meter and a time before the last proof count nothing.
func (m Meter) Proof(at, gap, limit uint64) Meter {
	if !m.Running || at <= m.ProofMS {
		return m
	}
	d := at - m.ProofMS
	if d > gap {
		m.UnobservedMS += d - gap
		d = gap
	}
	m.ProofMS = at
	return m.Add(d, limit)
}

// Add counts ms, never above limit.
func (m Meter) Add(ms, limit uint64) Meter {
	if m.BillableMS < limit {
		m.BillableMS += min(ms, limit-m.BillableMS)
	}
	return m
}

// Close stops counting at the last proof.
func (m Meter) Close() Meter {
	if m.Running {
		m.Running, m.PausedAtMS = false, m.ProofMS
	}
	return m
}
