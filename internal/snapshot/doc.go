// Package snapshot saves the state of a Consul cluster to where it outlives the cluster, and restores it. It runs in the pod of
// a Job, and not in the operator: who can save a snapshot can read every token in it, and who can write to an object store can
// delete what is in it.
//
// Nothing is kept in memory or on a disk on the way: what Consul sends is checked, encrypted and stored as it comes. An object
// appears in the store only when all of it was checked.
package snapshot
