// Package meter turns proofs that a job was seen alive into billable time, on both sides of a lease.
//
// Invariants: BillableMS never falls; a gap without proof counts at most one tick, the rest is unobserved and free. All times are
// CLOCK_BOOTTIME milliseconds of one boot. Concurrency: values. Persistence: inside market.Lease. Next: market/lease_provider.go.
package meter

// Meter is a running total. The zero value is closed and empty.
type Meter struct {
	BillableMS   uint64 `json:"billable_ms"`
	PausedMS     uint64 `json:"paused_ms"`
	UnobservedMS uint64 `json:"unobserved_ms"`
	Open         bool   `json:"open"`
	LastMS       uint64 `json:"last_ms"` // boot clock of the last proof
}

// Start opens the meter at boot-clock ms; time since the last proof while it was closed counts as paused.
func (m Meter) Start(ms uint64) Meter {
	if m.Open {
		return m
	}
	if m.LastMS != 0 && ms > m.LastMS {
		m.PausedMS += ms - m.LastMS
	}
	m.Open, m.LastMS = true, ms
	return m
}

// Proof adds the time since the last proof: all of it up to tickMS, beyond that one tick and the rest unobserved. A clock that stands
// still or goes back adds nothing.
func (m Meter) Proof(ms, tickMS uint64) Meter {
	if !m.Open || ms <= m.LastMS {
		return m
	}
	gap := ms - m.LastMS
	m.BillableMS += min(gap, tickMS)
	m.UnobservedMS += gap - min(gap, tickMS)
	m.LastMS = ms
	return m
}

// Stop closes the meter at ms, the last moment the job was seen alive; 0 closes it at the last proof.
func (m Meter) Stop(ms, tickMS uint64) Meter {
	if ms != 0 {
		m = m.Proof(ms, tickMS)
	}
	m.Open = false
	return m
}

// Rebase continues on another boot's clock: nothing is added for the gap.
func (m Meter) Rebase() Meter {
	m.Open, m.LastMS = false, 0
	return m
}

// Own adds a customer's own time while the provider's stream said Running: a gap up to limitMS counts whole; a longer one in which the
// customer itself was away rises to the provider's claim at most (never above the gap); one in which only the provider was unheard
// counts one tick.
func (m Meter) Own(ms, tickMS, limitMS, claimMS uint64, wasAway bool) Meter {
	if !m.Open || ms <= m.LastMS {
		m.LastMS = max(m.LastMS, ms)
		return m
	}
	gap := ms - m.LastMS
	m.LastMS = ms
	switch {
	case gap <= limitMS:
		m.BillableMS += gap
	case wasAway:
		m.BillableMS = max(m.BillableMS, min(claimMS, m.BillableMS+gap))
	default:
		m.BillableMS += min(gap, tickMS)
		m.UnobservedMS += gap - min(gap, tickMS)
	}
	return m
}
