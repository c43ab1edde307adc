package offers

import (
	"net"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
)

// decayEvery is how often scores are brought up to date. A violation counts at once; only forgiving waits for it.
const decayEvery = 10 * time.Second

// decayOver is the factor by which a counter falls every decayEvery so that nothing of it is left after d.
func decayOver(d time.Duration) float64 {
	return pubsub.ScoreParameterDecayWithBase(d, decayEvery, pubsub.DefaultDecayToZero)
}

// topicScore: mesh delivery (P3) stays off, since on a sparse topic it punishes the honest.
func topicScore() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		TopicWeight: 1, TimeInMeshWeight: 0.01, TimeInMeshQuantum: time.Second, TimeInMeshCap: 600,
		FirstMessageDeliveriesWeight: 1, FirstMessageDeliveriesDecay: decayOver(10 * time.Minute),
		FirstMessageDeliveriesCap:      50,
		InvalidMessageDeliveriesWeight: -50, InvalidMessageDeliveriesDecay: decayOver(time.Hour),
	}
}

func (s *Service) scoreParams() *pubsub.PeerScoreParams {
	p := &pubsub.PeerScoreParams{
		Topics:           map[string]*pubsub.TopicScoreParams{}, // each joins with its place
		AppSpecificScore: s.score, AppSpecificWeight: 1,
		IPColocationFactorWeight: -5, IPColocationFactorThreshold: 16,
		BehaviourPenaltyWeight: -10, BehaviourPenaltyThreshold: 6, BehaviourPenaltyDecay: decayOver(10 * time.Minute),
		DecayInterval: decayEvery, DecayToZero: pubsub.DefaultDecayToZero, RetainScore: time.Hour, SeenMsgTTL: seenTTL,
	}
	for _, c := range []string{"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7",
		"fe80::/10"} {
		if _, n, err := net.ParseCIDR(c); err == nil {
			p.IPColocationFactorWhitelist = append(p.IPColocationFactorWhitelist, n)
		}
	}
	return p
}
