package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ConsulSnapshotSchedule takes snapshots of a cluster again and again, and deletes old ones.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=csched
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.clusterName`
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`,description="whether the last snapshot is good"
// +kubebuilder:printcolumn:name="Last Good",type=date,JSONPath=`.status.lastSucceededAt`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextAt`
// +kubebuilder:printcolumn:name="Kept",type=integer,JSONPath=`.status.kept`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 38",message="metadata.name: at most 38 characters, since snapshots are named after it"
type ConsulSnapshotSchedule struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +required
	Spec   ConsulSnapshotScheduleSpec   `json:"spec"`
	Status ConsulSnapshotScheduleStatus `json:"status,omitempty"`
}

// ConsulSnapshotScheduleList is a list of ConsulSnapshotSchedules.
//
// +kubebuilder:object:root=true
type ConsulSnapshotScheduleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ConsulSnapshotSchedule `json:"items"`
}

// ConsulSnapshotScheduleSpec says when snapshots are taken, and which of them are kept.
type ConsulSnapshotScheduleSpec struct {
	// ClusterName is the name of the ConsulCluster, in the same namespace. It cannot change.
	//
	// +kubebuilder:validation:MaxLength=40
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="clusterName cannot change: create another ConsulSnapshotSchedule"
	ClusterName string `json:"clusterName"`

	// Schedule is when snapshots are taken, as cron has it: minute, hour, day of the month, month, day of the week, such as
	// "30 */6 * * *"; or @hourly, @daily, @weekly, @monthly.
	//
	// +kubebuilder:validation:MinLength=6
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^(@(hourly|daily|weekly|monthly)|([-0-9*/,A-Za-z]+ +){4}[-0-9*/,A-Za-z]+)$`
	Schedule string `json:"schedule"`

	// TimeZone of the schedule, such as Europe/Berlin.
	//
	// +kubebuilder:default=UTC
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`
	// +kubebuilder:validation:XValidation:rule="self != 'Local'",message="timeZone must not be Local, which is where the operator runs"
	// +optional
	TimeZone string `json:"timeZone,omitempty"`

	// Suspend takes no more snapshots, and deletes none.
	//
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// Immediate takes the first snapshot when the schedule is created.
	//
	// +optional
	Immediate bool `json:"immediate,omitempty"`

	// Concurrency is what happens to a run that is due while the previous one goes on: Forbid skips it, Replace stops the previous
	// one.
	//
	// +kubebuilder:validation:Enum=Forbid;Replace
	// +kubebuilder:default=Forbid
	// +optional
	Concurrency SnapshotConcurrency `json:"concurrency,omitempty"`

	// StartingDeadline is how late a missed run may still start, such as after the operator was down. If several were missed, only
	// the last one is made up for.
	//
	// +kubebuilder:default="1h"
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1m') && duration(self) <= duration('168h')",message="startingDeadline must be between 1m and 168h"
	// +optional
	StartingDeadline *metav1.Duration `json:"startingDeadline,omitempty"`

	// Verify is how each snapshot is verified: see ConsulSnapshot.
	//
	// +kubebuilder:default=Archive
	// +optional
	Verify SnapshotVerification `json:"verify,omitempty"`

	// Retention says which snapshots of this schedule are kept. If omitted, all are.
	//
	// +optional
	Retention *SnapshotRetention `json:"retention,omitempty"`
}

// SnapshotRetention says which snapshots are kept: those that any of its fields keeps, and the last good one. The others are
// deleted, with their objects in the store, after a newer one has succeeded. Objects in a former destination stay.
//
// +kubebuilder:validation:MinProperties=1
type SnapshotRetention struct {
	// Last keeps so many, the newest ones.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Last int32 `json:"last,omitempty"`

	// Age keeps those that are not older, counted back from the last good one.
	//
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1h') && duration(self) <= duration('87600h')",message="age must be between 1h and 87600h"
	// +optional
	Age *metav1.Duration `json:"age,omitempty"`

	// Daily keeps the last one of each of so many days, by the time zone of the schedule.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=366
	// +optional
	Daily int32 `json:"daily,omitempty"`

	// Weekly keeps the last one of each of so many weeks, which begin on Mondays.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=520
	// +optional
	Weekly int32 `json:"weekly,omitempty"`

	// Monthly keeps the last one of each of so many months.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=120
	// +optional
	Monthly int32 `json:"monthly,omitempty"`
}

// SnapshotConcurrency is what happens to a run that is due while the previous one goes on.
type SnapshotConcurrency string

// What happens to it.
const (
	ConcurrencyForbid  SnapshotConcurrency = "Forbid"
	ConcurrencyReplace SnapshotConcurrency = "Replace"
)

// ConsulSnapshotScheduleStatus says when snapshots were and will be taken.
type ConsulSnapshotScheduleStatus struct {
	// Conditions are Ready, Reconciling and Stalled, with the meaning kstatus gives them. Ready is True when the last snapshot that
	// was completed is good, and before the first one is due. It is False while the first one is taken, and when one cannot be taken
	// or old ones cannot be deleted.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// ObservedGeneration is the generation of the spec that this status describes.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// LastScheduledAt is the last time of the schedule for which a snapshot was created or left out.
	//
	// +optional
	LastScheduledAt *metav1.Time `json:"lastScheduledAt,omitempty"`

	// LastSnapshot is the name of the last ConsulSnapshot.
	//
	// +optional
	LastSnapshot string `json:"lastSnapshot,omitempty"`

	// LastSucceededAt is when the last good snapshot was completed.
	//
	// +optional
	LastSucceededAt *metav1.Time `json:"lastSucceededAt,omitempty"`

	// LastSucceeded is the name of the last good ConsulSnapshot.
	//
	// +optional
	LastSucceeded string `json:"lastSucceeded,omitempty"`

	// NextAt is when the next snapshot is due; omitted if none is.
	//
	// +optional
	NextAt *metav1.Time `json:"nextAt,omitempty"`

	// Missed counts the runs that were due and not started: too late, or because the previous one went on.
	//
	// +optional
	Missed int64 `json:"missed,omitempty"`

	// DeletionFailure says why old snapshots could not be deleted. It is omitted once they could.
	//
	// +optional
	DeletionFailure *SnapshotFailure `json:"deletionFailure,omitempty"`

	// Kept is the number of good snapshots of this schedule that there are.
	//
	// +optional
	Kept int32 `json:"kept,omitempty"`
}

// SnapshotFailure is why something failed.
type SnapshotFailure struct {
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// DefaultStartingDeadline is how late a run may start, as the API server sets it.
const DefaultStartingDeadline = time.Hour
