// Package backup decides what becomes of ConsulSnapshots, ConsulSnapshotSchedules and ConsulRestores. It is pure, like package
// plan: the same observation and time yield the same decision, and all progress is in the cluster.
//
// The work is done by Jobs (package snapshot). A Job has a name that follows from what it is for, so an operator that was killed
// after it had created one finds it. Of a cluster, one Job runs at a time, the one that was asked for first.
package backup
