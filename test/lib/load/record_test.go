package load

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

func TestTheGapIsTheLongestTimeWithoutAnAcknowledgedWrite(t *testing.T) {
	g := NewWithT(t)
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	r := newRecorder(start)
	r.addAt(at(10), NewConnection, "", "a", at(5))
	r.addAt(at(20), KeepAlive, "", "a", at(15))
	r.addAt(at(50), NewConnection, "No cluster leader", "a", at(49))
	r.addAt(at(90), KeepAlive, "", "a", at(60))
	r.addAt(at(250), NewConnection, "", "a", at(95))
	r.addAt(at(260), KeepAlive, "", "a", at(255))
	r.finish(at(300))

	result := r.result()
	g.Expect(result.All.Gap).To(Equal(Gap{at(90), at(250)}))
	g.Expect(result.Kinds[NewConnection].Gap).To(Equal(Gap{at(10), at(250)}), "a failure does not end a gap")
	g.Expect(result.Kinds[KeepAlive].Gap).To(Equal(Gap{at(90), at(260)}))
	g.Expect(result.All.Attempts()).To(Equal(6))
	g.Expect(result.Rate()).To(BeNumerically("~", 5/0.3, 0.01))
	g.Expect(result.Buckets).To(Equal([]Bucket{
		{Acknowledged: 3, Failed: 1, P50: 5 * time.Millisecond, Max: 30 * time.Millisecond},
		{},
		{Acknowledged: 2, P50: 155 * time.Millisecond, Max: 155 * time.Millisecond},
	}))
	g.Expect(result.All.ByCount()).To(Equal([]ClassCount{{"No cluster leader", 1}}))
}

func TestAGapThatLastsCounts(t *testing.T) {
	g := NewWithT(t)
	start := time.Now()
	r := newRecorder(start)
	r.addAt(start.Add(time.Second), KeepAlive, "", "a", start)
	g.Expect(r.counters(start.Add(time.Second)).LongestGap).To(Equal(time.Second))
	g.Expect(r.counters(start.Add(5 * time.Second)).LongestGap).To(Equal(4 * time.Second))
	r.finish(start.Add(3 * time.Second))
	g.Expect(r.result().All.Gap.Length()).To(Equal(2 * time.Second))
}

func TestReadyAddresses(t *testing.T) {
	g := NewWithT(t)
	yes, no, port, name := true, false, int32(8500), "http"
	tcp := corev1.ProtocolTCP
	slice := &discoveryv1.EndpointSlice{
		Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &tcp}},
		Endpoints: []discoveryv1.Endpoint{
			{Addresses: []string{"127.1.0.1"}},
			{Addresses: []string{"127.1.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Terminating: &no}},
			{Addresses: []string{"127.1.0.3"}, Conditions: discoveryv1.EndpointConditions{Ready: &no}},
			{Addresses: []string{"127.1.0.4"}, Conditions: discoveryv1.EndpointConditions{Ready: &yes, Terminating: &yes}},
		},
	}
	g.Expect(ReadyAddresses(slice, "http")).To(Equal([]string{"127.1.0.1:8500", "127.1.0.2:8500"}))
	g.Expect(ReadyAddresses(slice, "dns")).To(BeEmpty())
}
