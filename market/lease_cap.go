package market

import "time"

// A running lease's cap only rises, by the customer's signature. The provider keeps it first: a customer that signs
// beyond what its provider takes would be refused, and one that stops below what the provider works for would leave a
// debt. So the customer asks until it is answered.

// raise sets both limits in money.
func (c *Common) raise(to Amount) {
	c.Terms.Cap, c.Terms.Budget = max(c.Terms.Cap, to), max(c.Terms.Budget, to)
}

// capRaised: Preparing, Running, Paused. The stop for the old cap is off, if it has not begun.
func (s *seller) capRaised(ev Event) error {
	if to := ev.(CapRaised).Cap; to > s.Limit() {
		s.CapWas, s.CapAt = s.Limit(), s.now
		s.raise(to)
		s.emit(SendStatus{})
	}
	return nil
}

// capAsked: Preparing, Running, Paused, Silent.
func (s *buyer) capAsked(ev Event) error {
	to := ev.(CapAsked).Cap
	s.CapRefused = ""
	if to > max(s.Limit(), s.CapWanted) {
		s.CapWanted = to
	}
	if s.CapWanted > 0 {
		s.emit(RaiseCap{Cap: s.CapWanted})
	}
	return nil
}

// capFunds is how long a raised cap may be ahead of the final deposit.
const capFunds = time.Minute

// funded is the limit in money that the deposit must carry by now.
func (s *seller) funded() Amount {
	if s.now.Sub(s.CapAt) < capFunds {
		return s.CapWas
	}
	return s.Limit()
}

func (s *buyer) capAnswered(ev Event) error {
	e := ev.(CapAnswered)
	if e.Code != "" {
		if e.Cap >= s.CapWanted {
			s.CapWanted, s.CapRefused = 0, e.Code
		}
		return nil
	}
	s.raise(e.Cap)
	if s.CapWanted <= e.Cap {
		s.CapWanted = 0
	}
	s.ToppedAt = 0 // the deposit was enough for the old cap
	if s.State != Ended {
		s.pay(false)
	}
	return nil
}
