package snapshot

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/consul-operator/consul-operator/api/reason"
)

// commands are the tasks that a Job's pod runs: `consul-operator snapshot save --store s3://backups consul/1.snap`.
var commands = map[string]func(context.Context, Task, options) (*Saved, error){
	"save":    func(ctx context.Context, t Task, _ options) (*Saved, error) { return t.Save(ctx) },
	"inspect": func(ctx context.Context, t Task, o options) (*Saved, error) { return t.inspectFit(ctx, o.fit) },
	"restore": func(ctx context.Context, t Task, o options) (*Saved, error) { return t.Restore(ctx, o.fit) },
	"verify":  func(ctx context.Context, t Task, o options) (*Saved, error) { return t.Verify(ctx, o.binary) },
	"delete":  func(ctx context.Context, t Task, o options) (*Saved, error) { return nil, t.deleteAll(ctx, o.names) },
}

// options are what the flags of a command say. Nothing secret is among them: secrets are in files.
type options struct {
	store                  string
	names                  []string
	bucket                 BucketOptions
	consul                 Consul
	recipients             list
	identities, passphrase string
	fit                    Fit
	sum                    string
	binary, outcome        string
	within                 time.Duration
}

// list is a flag that may be given more than once.
type list []string

func (l *list) String() string { return strings.Join(*l, ",") }

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func parse(name string, args []string, usage io.Writer) (options, error) {
	var o options
	set := flag.NewFlagSet("consul-operator snapshot "+name, flag.ContinueOnError)
	set.SetOutput(usage)
	set.StringVar(&o.store, "store", "", "where snapshots are: s3://BUCKET, or the path of a folder")
	set.StringVar(&o.bucket.Endpoint, "s3-endpoint", "", "URL of the object store; that of AWS if empty")
	set.StringVar(&o.bucket.Region, "s3-region", "us-east-1", "region of the bucket")
	set.BoolVar(&o.bucket.PathStyle, "s3-path-style", false, "put the bucket into the path of an address, not into its host")
	set.StringVar(&o.bucket.CredentialsDir, "s3-credentials-dir", "", "folder with accessKeyId and secretAccessKey")
	set.StringVar(&o.bucket.CAFile, "s3-ca-file", "",
		"certificates of the authorities that sign the object store's; those of the system if empty")
	set.StringVar(&o.consul.Address, "consul", "", "URL of the cluster")
	set.StringVar(&o.consul.ServerName, "consul-server-name", "", "name in the certificate of the servers")
	set.StringVar(&o.consul.CAFile, "consul-ca-file", "", "certificates of the authorities that sign the servers'")
	set.StringVar(&o.consul.TokenFile, "consul-token-file", "", "ACL token with acl:write")
	set.Var(&o.recipients, "recipient", "public key to encrypt for (age1…); may be given more than once")
	set.StringVar(&o.identities, "identity-file", "", "private keys to decrypt with")
	set.StringVar(&o.passphrase, "passphrase-file", "", "passphrase to encrypt and decrypt with")
	set.StringVar(&o.fit.Datacenter, "datacenter", "", "datacenter of the cluster that a snapshot is restored into")
	set.StringVar(&o.fit.Version, "version", "", "its Consul version")
	set.StringVar(&o.sum, "sha256", "", "SHA-256 sum that the object has to have, in hexadecimal; any if empty")
	set.StringVar(&o.binary, "consul-binary", "consul", "Consul, to restore a snapshot into for a test")
	set.StringVar(&o.outcome, "outcome", "", "file to write the outcome to; nowhere if empty")
	set.DurationVar(&o.within, "within", time.Hour, "how long to go on trying")
	if err := set.Parse(args); err != nil {
		return o, err
	}
	o.names = set.Args()
	if len(o.names) == 0 || len(o.names) > 1 && name != "delete" {
		return o, fmt.Errorf("%s needs the name of one object, after the flags", name)
	}
	return o, nil
}

// patience is how long a task goes on trying by itself. Then its container ends, so that people see why it does not succeed, and
// its Job runs another one. A restore is never begun by two.
var patience = map[string]time.Duration{"save": time.Minute, "inspect": time.Minute, "verify": time.Minute, "delete": time.Minute}

// Run runs a command with its arguments, and writes its outcome. It returns ErrAgain if it may succeed later.
func Run(ctx context.Context, args []string, out, usage io.Writer) error {
	if len(args) == 0 || commands[args[0]] == nil {
		return fmt.Errorf("usage: consul-operator snapshot save|inspect|verify|restore|delete FLAGS")
	}
	o, err := parse(args[0], args[1:], usage)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, o.within)
	defer cancel()
	task, err := o.task(ctx)
	var saved *Saved
	if err == nil {
		task.Patience = patience[args[0]]
		saved, err = commands[args[0]](ctx, task, o)
	}
	ended := outcome(saved, err)
	if saved != nil {
		_, _ = fmt.Fprintf(out, "%s %s: index %d, %d bytes, sha256 %s\n", args[0], task.Name, ended.Index, ended.Size, ended.SHA256)
	}
	return errors.Join(err, ended.write(o.outcome))
}

// task is what the options ask for.
func (o options) task(ctx context.Context) (Task, error) {
	keys, err := o.keys()
	if err != nil {
		return Task{}, failed(reason.SnapshotKeyMissing, err)
	}
	store, err := o.open(ctx)
	return Task{Consul: o.consul, Store: store, Keys: keys, Name: o.names[0], SHA256: o.sum}, err
}

func (o options) keys() (Keys, error) {
	if o.passphrase != "" {
		text, err := os.ReadFile(o.passphrase)
		if err != nil {
			return Keys{}, err
		}
		return NewPassphrase(text)
	}
	var identities []byte
	if o.identities != "" {
		var err error
		if identities, err = os.ReadFile(o.identities); err != nil {
			return Keys{}, err
		}
	}
	return NewKeys(o.recipients, identities)
}

func (o options) open(ctx context.Context) (Store, error) {
	at, err := url.Parse(o.store)
	if err != nil {
		return nil, failed(reason.StoreRefuses, fmt.Errorf("--store: %w", err))
	}
	switch at.Scheme {
	case "s3":
		bucket := o.bucket
		bucket.Bucket = at.Host
		return OpenBucket(ctx, bucket)
	case "":
		return OpenFolder(o.store)
	}
	return nil, failed(reason.StoreRefuses, fmt.Errorf("--store %s is neither s3://BUCKET nor a path", o.store))
}
