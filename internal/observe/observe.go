// Package observe builds one coherent snapshot of a cluster: its Kubernetes objects, what its servers say, and what its last
// status remembers. What could not be learned is unknown, which is not the same as bad news.
package observe

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/consul"
	"github.com/consul-operator/consul-operator/internal/plan"
	"github.com/consul-operator/consul-operator/internal/resources"
	"github.com/consul-operator/consul-operator/internal/volumes"
)

// Snapshot is an Observation together with the objects that it was made from, which effects need for their preconditions.
type Snapshot struct {
	plan.Observation
	Cluster *v1alpha1.ConsulCluster
	// Claims and Pods of the servers, by the server's name.
	Claims map[string]*corev1.PersistentVolumeClaim
	// Kept are the claims of this cluster that were set aside, by name.
	Kept []*corev1.PersistentVolumeClaim
	// Left are the claims of servers of former clusters of this name.
	Left map[string]*corev1.PersistentVolumeClaim
	Pods map[string]*corev1.Pod
	// Budget is the disruption budget; nil until it is created, or if the one of its name is not this cluster's.
	Budget *policyv1.PodDisruptionBudget
	// GossipSecret holds the gossip keys that servers start with; nil if there is none of this cluster. GossipKeys are known while
	// they are rotated, or are to be, which rotatesKey reports.
	GossipSecret *corev1.Secret
	GossipKeys   resources.GossipKeys
	rotatesKey   bool
	// Revisions are those in use, with what their Secrets have to hold.
	Revisions []v1alpha1.RevisionStatus
	// rendered is the digest of the wanted revision as this operator writes it.
	rendered string
	// TokensSecret holds the ACL tokens of the operator and of the servers; nil if there is none of this cluster.
	TokensSecret *corev1.Secret
	// Access is how the agents of servers with certificates are called. Only the address is missing.
	Access consul.Target
	// CertificateSecret holds the certificate that servers share, and AuthoritySecret who issues it; nil if there is none of this
	// cluster.
	CertificateSecret, AuthoritySecret *corev1.Secret
	// TLSName is the name in the certificate of the servers; what the spec says if there is none.
	TLSName string
	// Authorities are the certificates of those whose certificates servers believe, in PEM.
	Authorities []byte
	// PodMonitor is by which Prometheus finds the servers.
	PodMonitor PodMonitor
	// ConfigFrom is the Secret with a copy of what spec.configFrom names; nil if that is nothing, or cannot be used. incomplete says
	// why the wanted revision is not known without it.
	ConfigFrom *corev1.Secret
	incomplete *plan.Problem
	// Copied reports whether the records on the ConsulCluster do not count: they were written for another one.
	Copied bool
	// UserSecrets is what users provide in Secrets of their own. The operator makes the rest.
	UserSecrets UserSecrets
	// Volumes is what is known of how full the volumes of servers are, by server; nil if nobody asks the kubelets.
	Volumes map[string]volumes.Known
	// present reports whether there is a claim or a pod of this cluster, a retired one included.
	present bool
}

// isNew reports whether the cluster has nothing yet, and never had a leader.
func (s *Snapshot) isNew() bool { return !s.present && !s.Spec.Bootstrapped }

// Target is how the agent of a server is called. Its address is empty if the server has none.
func (s *Snapshot) Target(server string) consul.Target {
	pod := s.Pods[server]
	if pod == nil || pod.Status.PodIP == "" {
		return consul.Target{}
	}
	target, port := consul.Target{}, resources.PortHTTP
	if resources.PodHasTLS(pod) {
		target, port = s.Access, resources.PortHTTPS
	}
	target = s.withTokens(target, pod)
	target.Address = net.JoinHostPort(pod.Status.PodIP, strconv.Itoa(port))
	return target
}

// Observer observes clusters.
type Observer struct {
	Reader client.Reader
	// Live reads past the cache, which leaves out what Secrets hold.
	Live client.Reader
	// SecretDelay is how long kubelets may take to show pods what a Secret has become.
	SecretDelay time.Duration
	// Nodes is whether the Reader may read nodes.
	Nodes bool
	// Volumes knows how full volumes are; nil if nobody asks the kubelets.
	Volumes VolumeUsages
	// Self is which pods are the operator's own.
	Self resources.Self
	Dial consul.Dialer
	// Pools are the connections to servers with certificates.
	Pools consul.Pools
	Now   func() time.Time
	// noMonitorsUntil is until when the API server is believed to have no PodMonitors, in nanoseconds of Unix time.
	noMonitorsUntil atomic.Int64
}

// Observe takes a snapshot of one cluster. It fails only if Kubernetes cannot be read; silent servers are part of the
// snapshot.
func (o *Observer) Observe(ctx context.Context, c *v1alpha1.ConsulCluster) (*Snapshot, error) {
	s := &Snapshot{
		Cluster: c,
		Claims:  map[string]*corev1.PersistentVolumeClaim{},
		Pods:    map[string]*corev1.Pod{},
		Left:    map[string]*corev1.PersistentVolumeClaim{},
	}
	if err := o.completeConfig(ctx, s); err != nil {
		return nil, err
	}
	c = s.Cluster
	s.Spec = spec(c)
	if err := o.claims(ctx, s); err != nil {
		return nil, err
	}
	identify(s)
	if err := o.pods(ctx, s); err != nil {
		return nil, err
	}
	if err := inOrder(ctx, s, o.servers, o.budget, o.secrets, o.network); err != nil {
		return nil, err
	}
	o.podMonitor(ctx, s)
	if err := o.nodes(ctx, s); err != nil {
		return nil, err
	}
	o.volumes(s)
	s.Damaged = readRecords(s)
	formerVolumes(s)
	if err := o.restore(ctx, s); err != nil {
		return nil, err
	}
	if s.isNew() {
		secureNewCluster(s)
	}
	o.consul(ctx, s)
	if err := o.upgradeSnapshot(ctx, s); err != nil {
		return nil, err
	}
	serial := readSerial(s)
	remember(s, o.Now())
	s.Spec.Invalid = cmp.Or(serial, invalid(s))
	if s.Spec.Bootstrapped {
		s.Spec.Unusable = s.UserSecrets.problem
	}
	return s, nil
}

// secrets reads what revisions, keys, certificates and tokens there are.
func (o *Observer) secrets(ctx context.Context, s *Snapshot) error {
	if err := o.revisions(ctx, s); err != nil {
		return err
	}
	if err := o.userSecrets(ctx, s); err != nil {
		return err
	}
	if err := o.gossipKeys(ctx, s); err != nil {
		return err
	}
	if err := o.certificates(ctx, s); err != nil {
		return err
	}
	return o.tokens(ctx, s)
}

func spec(c *v1alpha1.ConsulCluster) plan.Spec {
	spec := plan.Spec{
		Replicas: int(c.Spec.Replicas), MaxSurge: int(c.Spec.Update.MaxSurge),
		InPlace:            c.Spec.Update.Type == v1alpha1.UpdateInPlace,
		LeaderStableFor:    duration(c.Spec.Update.LeaderStableFor, v1alpha1.DefaultLeaderStableFor),
		ReplaceFailedAfter: duration(c.Spec.FailureReplacement.After, v1alpha1.DefaultReplaceAfter),
		ReplacementsLeft:   int(c.Spec.FailureReplacement.MaxPerHour),
		Revision:           resources.Revision(c),
		ReadsOnlyOldLogs:   readsOnlyOldLogs(c.Spec.Version),
		Paused:             c.Spec.Paused,
		Monitored:          c.Spec.Metrics.Enabled,
	}
	if to, asked := c.Annotations[v1alpha1.AnnotationTransferLeadership]; asked {
		spec.Transfer = &plan.TransferRequest{To: to}
	}
	spec.Autopilot, _ = resources.Autopilot(c) // the errors are found again, see invalid
	_, spec.Settings, _ = resources.Settings(c)
	spec.Gossip, spec.TLS, spec.ACLs = gossip(c), tlsOf(c), aclsOf(c)
	spec.AgentsReady = c.Annotations[v1alpha1.AnnotationAgentsReady]
	if grow := c.Spec.Storage.AutoGrow; grow != nil {
		spec.GrowUpTo = grow.Limit.Value()
	}
	recovery(&spec, c)
	return spec
}

// recovery fills in what is wanted where the quorum is lost.
func recovery(spec *plan.Spec, c *v1alpha1.ConsulCluster) {
	spec.Object = c.Name + " -n " + c.Namespace
	if names, accepted := c.Annotations[v1alpha1.AnnotationAcceptLoss]; accepted {
		spec.AcceptedLoss = []string{}
		for name := range strings.SplitSeq(names, ",") {
			spec.AcceptedLoss = append(spec.AcceptedLoss, strings.TrimSpace(name))
		}
	}
	if c.Spec.Recovery.Mode == v1alpha1.RecoveryAutomatic {
		after := duration(c.Spec.Recovery.After, v1alpha1.DefaultRecoverAfter)
		spec.RecoverAfter = &after
	}
}

func duration(d *metav1.Duration, otherwise time.Duration) time.Duration {
	if d == nil {
		return otherwise
	}
	return d.Duration
}

// claims fills in the servers' claims. Claims with our names that belong to a former cluster, or that are retained, are not
// our servers, but their serials are in use.
func (o *Observer) claims(ctx context.Context, s *Snapshot) error {
	c := s.Cluster
	var claims corev1.PersistentVolumeClaimList
	if err := o.Reader.List(ctx, &claims, client.InNamespace(c.Namespace),
		client.MatchingLabels{v1alpha1.LabelCluster: c.Name}); err != nil {
		return fmt.Errorf("listing volume claims: %w", err)
	}
	for i := range claims.Items {
		claim := &claims.Items[i]
		serial, ok := resources.Serial(c.Name, claim.Name)
		if !ok {
			continue
		}
		s.Spec.NextSerial = max(s.Spec.NextSerial, serial+1)
		s.present = s.present || claim.Labels[v1alpha1.LabelClusterUID] == string(c.UID)
		if o.failedLately(c, claim) {
			s.Spec.ReplacementsLeft = max(0, s.Spec.ReplacementsLeft-1)
		}
		switch {
		case Ours(c, claim):
			s.Claims[claim.Name] = claim
		case claim.Labels[v1alpha1.LabelClusterUID] == string(c.UID):
			s.keep(claim)
		case isLeft(c, claim):
			s.Left[claim.Name] = claim
		}
	}
	slices.SortFunc(s.Kept, func(a, b *corev1.PersistentVolumeClaim) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(s.FailedVolumes)
	return nil
}

// pods fills in the servers' pods, and those that are none. Their serials are in use, too.
func (o *Observer) pods(ctx context.Context, s *Snapshot) error {
	c := s.Cluster
	var pods corev1.PodList
	if err := o.Reader.List(ctx, &pods, client.InNamespace(c.Namespace), client.MatchingLabels(resources.Selector(c))); err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	for i := range pods.Items {
		pod := &pods.Items[i]
		useSerial(s, pod.Name)
		former := pod.Labels[v1alpha1.LabelClusterUID] != string(c.UID)
		unclaimed := (former || s.Claims[pod.Name] == nil) && pod.DeletionTimestamp.IsZero()
		if unclaimed {
			s.Unclaimed++
		}
		if former {
			s.Former = append(s.Former, pod.Name)
			if len(pod.OwnerReferences) == 0 && pod.DeletionTimestamp.IsZero() {
				s.LeftBehind = append(s.LeftBehind, pod.Name)
			}
			continue
		}
		s.Pods[pod.Name], s.present = pod, true
		if unclaimed && (pod.Status.Phase == corev1.PodPending || isFinished(pod)) {
			s.Orphans = append(s.Orphans, pod.Name)
		}
	}
	slices.Sort(s.Orphans)
	slices.Sort(s.Former)
	slices.Sort(s.LeftBehind)
	return nil
}

// keep fills in a claim that was set aside.
func (s *Snapshot) keep(claim *corev1.PersistentVolumeClaim) {
	s.Kept = append(s.Kept, claim)
	if claim.Labels[v1alpha1.LabelRetired] == v1alpha1.RetiredFailed && claim.DeletionTimestamp.IsZero() {
		s.FailedVolumes = append(s.FailedVolumes, claim.Name)
	}
}

// failedLately reports whether the server of a claim was given up within the last hour.
func (o *Observer) failedLately(c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) bool {
	at, err := time.Parse(time.RFC3339, claim.Annotations[v1alpha1.AnnotationFailed])
	return err == nil && claim.Labels[v1alpha1.LabelClusterUID] == string(c.UID) && o.Now().Sub(at) < time.Hour
}

// Ours reports whether a claim is a server of this cluster.
func Ours(c *v1alpha1.ConsulCluster, claim *corev1.PersistentVolumeClaim) bool {
	return claim.Labels[v1alpha1.LabelClusterUID] == string(c.UID) && claim.Labels[v1alpha1.LabelRetired] == ""
}

func (o *Observer) budget(ctx context.Context, s *Snapshot) error {
	budget := &policyv1.PodDisruptionBudget{}
	err := o.Reader.Get(ctx, client.ObjectKey{
		Namespace: s.Cluster.Namespace, Name: resources.DisruptionBudgetName(s.Cluster.Name),
	}, budget)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the disruption budget: %w", err)
	}
	if !resources.Belongs(s.Cluster, budget) {
		return nil
	}
	s.Budget, s.MinAvailable = budget, new(resources.MinAvailable(budget))
	return nil
}

// routedAddresses returns the addresses to which the client Service sends new connections.
func (o *Observer) routedAddresses(ctx context.Context, c *v1alpha1.ConsulCluster) (map[string]bool, error) {
	var slices discoveryv1.EndpointSliceList
	if err := o.Reader.List(ctx, &slices, client.InNamespace(c.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: resources.ClientServiceName(c.Name)}); err != nil {
		return nil, fmt.Errorf("listing endpoint slices: %w", err)
	}
	routed := map[string]bool{}
	for _, slice := range slices.Items {
		for _, endpoint := range slice.Endpoints {
			if ready := endpoint.Conditions.Ready; ready != nil && !*ready {
				continue
			}
			for _, address := range endpoint.Addresses {
				routed[address] = true
			}
		}
	}
	return routed, nil
}

// inOrder does one after the other, until one fails.
func inOrder(ctx context.Context, s *Snapshot, steps ...func(context.Context, *Snapshot) error) error {
	for _, step := range steps {
		if err := step(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// servers fills in the servers: a claim each.
func (o *Observer) servers(ctx context.Context, s *Snapshot) error {
	routed, err := o.routedAddresses(ctx, s.Cluster)
	if err != nil {
		return err
	}
	for name := range s.Claims {
		s.Servers = append(s.Servers, server(s, name, routed))
	}
	slices.SortFunc(s.Servers, func(a, b plan.Server) int { return a.Serial - b.Serial })
	return nil
}

func server(s *Snapshot, name string, routed map[string]bool) plan.Server {
	claim := s.Claims[name]
	serial, _ := resources.Serial(s.Cluster.Name, name)
	expect, _ := natural(claim, v1alpha1.AnnotationBootstrapExpect)
	_, retiring := claim.Annotations[v1alpha1.AnnotationRetiring]
	_, inPlace := claim.Annotations[v1alpha1.AnnotationInPlace]
	_, failed := claim.Annotations[v1alpha1.AnnotationFailed]
	server := plan.Server{
		Name: name, Serial: serial, ID: resources.NodeID(resources.Identity(s.Cluster), name),
		Revision:        claim.Annotations[v1alpha1.AnnotationRevision],
		BootstrapExpect: expect, Retiring: retiring, InPlace: retiring && inPlace, Failed: failed,
		ClaimDeleting: !claim.DeletionTimestamp.IsZero(), WrongVolume: resources.IsOnWrongVolume(s.Cluster, claim),
		Wrote:   claim.Annotations[v1alpha1.AnnotationVersion],
		Unbound: claim.Spec.VolumeName == "" && claim.Status.Phase != corev1.ClaimBound,
	}
	if pod := s.Pods[name]; pod != nil {
		if len(s.Cluster.Spec.ConfigFrom) > 0 {
			pod = withoutLog(pod)
		}
		server.Pod = podFacts(pod)
		server.Routed = isRouted(routed, pod)
	}
	return server
}

// isRouted reports whether new connections are sent to any address of a pod. A Service may have addresses of another family
// than PodIP, or of both, each in a slice of its own.
func isRouted(routed map[string]bool, pod *corev1.Pod) bool {
	return routed[pod.Status.PodIP] ||
		slices.ContainsFunc(pod.Status.PodIPs, func(ip corev1.PodIP) bool { return routed[ip.IP] })
}

// unknown explains to users why no leader is known.
func unknown(servers []plan.Server) string {
	var parts []string
	names := map[string][]string{}
	for _, s := range servers {
		state := "answering and not leading"
		if !s.Agent.Answered {
			state = "not answering"
		}
		if s.Agent.Silence != "" {
			state += " (" + string(s.Agent.Silence) + ")"
		}
		if names[state] == nil {
			parts = append(parts, state)
		}
		names[state] = append(names[state], s.Name)
	}
	for i, state := range parts {
		parts[i] = strings.Join(names[state], ", ") + " " + state
	}
	return cmp.Or(strings.Join(parts, "; "), "there is no server")
}
