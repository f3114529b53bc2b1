package snapshot

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	_ "golang.org/x/crypto/x509roots/fallback" // the image has no certificates of public authorities
	"k8s.io/utils/ptr"

	"github.com/consul-operator/consul-operator/api/reason"
)

// partSize is how many bytes are kept in memory until they are sent. An object has at most 10,000 parts
// (https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html), which makes 78 GiB.
const partSize = 8 << 20

// BucketOptions say where a bucket is, and how to reach it.
type BucketOptions struct {
	Bucket, Region string
	// Endpoint is the URL of an object store that is not AWS's; empty for AWS.
	Endpoint string
	// PathStyle puts the bucket into the path of an address and not into its host.
	PathStyle bool
	// CredentialsDir is where the files accessKeyId, secretAccessKey and, if there is one, sessionToken are. If it is empty, the pod
	// has an identity of its own.
	CredentialsDir string
	// CAFile holds the authorities that the object store is believed by; the system's if empty.
	CAFile string
}

// Bucket is a store in a bucket of S3, or of what speaks it.
type Bucket struct {
	name   string
	client *s3.Client
}

// OpenBucket returns the store in a bucket. Nothing is sent yet.
func OpenBucket(ctx context.Context, o BucketOptions) (*Bucket, error) {
	options := []func(*config.LoadOptions) error{
		config.WithRegion(o.Region),
		// Many object stores know no other checksums than that of the signature.
		config.WithRequestChecksumCalculation(aws.RequestChecksumCalculationWhenRequired),
		config.WithResponseChecksumValidation(aws.ResponseChecksumValidationWhenRequired),
	}
	if o.CredentialsDir != "" {
		options = append(options, config.WithCredentialsProvider(credentialFiles(o.CredentialsDir)))
	}
	believed, err := authoritiesIn(o.CAFile)
	if err != nil {
		return nil, failed(reason.StoreRefuses, err)
	}
	loaded, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return nil, failed(reason.StoreRefuses, err)
	}
	client := s3.NewFromConfig(loaded, func(options *s3.Options) {
		options.UsePathStyle = o.PathStyle
		if o.Endpoint != "" {
			options.BaseEndpoint = ptr.To(o.Endpoint)
		}
		options.APIOptions = append(options.APIOptions, signsNoEncoding)
		if client, ok := options.HTTPClient.(*awshttp.BuildableClient); ok { // which the SDK has made
			options.HTTPClient = client.WithTransportOptions(func(t *http.Transport) {
				t.DisableCompression = true
				if believed != nil { // only by this client: a cloud that gives the pod its identity has authorities of its own
					t.TLSClientConfig = &tls.Config{RootCAs: believed, MinVersion: tls.VersionTLS12}
				}
			})
		}
	})
	return &Bucket{name: o.Bucket, client: client}, nil
}

// signsNoEncoding has a request say nothing of encodings, so that none of them is signed: the front end of Google Cloud Storage
// changes what is said there, and the signature of a write is wrong then (https://github.com/aws/aws-sdk-go-v2/issues/1816). The
// SDK says "identity" lest Go asks for compressed answers, which DisableCompression does as well.
func signsNoEncoding(stack *middleware.Stack) error {
	_, err := stack.Finalize.Remove("DisableAcceptEncodingGzip")
	return err
}

// authoritiesIn are the certificates in a file; nil for the public ones if there is none.
func authoritiesIn(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // the public ones
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificates", file)
	}
	return pool, nil
}

// credentialFiles are credentials in a folder that the kubelet keeps up to date with a Secret.
type credentialFiles string

// Retrieve reads the credentials.
func (dir credentialFiles) Retrieve(context.Context) (aws.Credentials, error) {
	read := func(name string) (string, error) {
		text, err := os.ReadFile(filepath.Join(string(dir), name))
		return strings.TrimSpace(string(text)), err
	}
	id, err := read("accessKeyId")
	if err != nil {
		return aws.Credentials{}, err
	}
	secret, err := read("secretAccessKey")
	if err != nil {
		return aws.Credentials{}, err
	}
	session, _ := read("sessionToken") // few have one
	return credentials.NewStaticCredentialsProvider(id, secret, session).Value, nil
}

// Create begins an object, which is sent in parts.
func (b *Bucket) Create(ctx context.Context, name string) (Object, error) {
	return &upload{ctx: ctx, bucket: b, key: name}, b.discard(ctx, name)
}

// discard has the store delete the parts of an object that was never completed, such as by a task that was killed: they cost
// money. Not every store can list them, nor lets everybody; one that does not answer at all is not asked for more.
func (b *Bucket) discard(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, mostSilence)
	defer cancel()
	list, err := b.client.ListMultipartUploads(ctx, &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &name})
	if err != nil {
		if said := answered("writing "+name, err); reasonOf(said) == reason.StoreUnreachable &&
			!isCode(err, "NotImplemented", "NoSuchUpload") {
			return said
		}
		return nil
	}
	for _, former := range list.Uploads {
		if ptr.Deref(former.Key, "") == name {
			_, _ = b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
				Bucket: &b.name, Key: &name, UploadId: former.UploadId,
			})
		}
	}
	return nil
}

// Open returns an object.
func (b *Bucket) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	ctx, watch := watched(ctx)
	got, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.name, Key: &name})
	if err != nil {
		watch.stop()
		return nil, answered("reading "+name, err)
	}
	return answer{moving{got.Body, watch}, got.Body, reason.StoreUnreachable, "the object store"}, nil
}

// Delete deletes an object, and what is left of one that was never completed.
func (b *Bucket) Delete(ctx context.Context, name string) error {
	if err := b.discard(ctx, name); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, mostSilence)
	defer cancel()
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.name, Key: &name})
	if err = answered("deleting "+name, err); reasonOf(err) == reason.SnapshotMissing {
		return nil
	}
	return err
}

// upload is an object that is sent in parts; one that fits into the first part is sent at once.
type upload struct {
	ctx    context.Context // of the task; an io.Writer has no other
	bucket *Bucket
	key    string
	part   bytes.Buffer
	id     *string
	sent   []types.CompletedPart
	done   bool
}

func (u *upload) Write(p []byte) (int, error) {
	written := 0
	u.part.Grow(partSize - u.part.Len()) // at once: growing would leave half as much again behind
	for len(p) > 0 {
		if u.part.Len() == partSize {
			if err := u.send(); err != nil {
				return written, err
			}
		}
		n, _ := u.part.Write(p[:min(len(p), partSize-u.part.Len())]) // never fails
		written, p = written+n, p[n:]
	}
	return written, nil
}

// send sends a part.
func (u *upload) send() error {
	ctx, cancel := context.WithTimeout(u.ctx, mostSilence)
	defer cancel()
	if u.id == nil {
		begun, err := u.bucket.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
			Bucket: &u.bucket.name, Key: &u.key,
		})
		if err != nil {
			return answered("writing "+u.key, err)
		}
		u.id = begun.UploadId
	}
	number := ptr.To(int32(len(u.sent) + 1)) //nolint:gosec // at most 10,000
	part, err := u.bucket.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id, PartNumber: number, Body: bytes.NewReader(u.part.Bytes()),
	})
	if err != nil {
		return answered("writing "+u.key, err)
	}
	u.sent = append(u.sent, types.CompletedPart{PartNumber: number, ETag: part.ETag})
	u.part.Reset()
	return nil
}

// Commit sends what is left.
func (u *upload) Commit() error {
	ctx, cancel := context.WithTimeout(u.ctx, mostSilence)
	defer cancel()
	var err error
	if u.id == nil {
		_, err = u.bucket.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &u.bucket.name, Key: &u.key, Body: bytes.NewReader(u.part.Bytes()),
		})
	} else if err = u.send(); err == nil {
		_, err = u.bucket.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: u.sent},
		})
	}
	u.done = err == nil
	return answered("writing "+u.key, err)
}

// Abort has the store delete the parts that it has: they cost money. It goes on if the task has ended.
func (u *upload) Abort() {
	if u.done || u.id == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(u.ctx), abortWithin)
	defer cancel()
	_, _ = u.bucket.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &u.bucket.name, Key: &u.key, UploadId: u.id,
	})
}

// answered gives an error of an object store its reason.
func answered(doing string, err error) error {
	if err == nil {
		return nil
	}
	why := reason.StoreUnreachable
	var response interface{ HTTPStatusCode() int }
	switch {
	case isMissing(err):
		why = reason.SnapshotMissing
	case isCode(err, "NoSuchUpload"): // another task has discarded it, or an answer was lost: it begins anew
	case errors.Is(err, fs.ErrNotExist), // of the credentials
		errors.As(err, &response) && isRefusal(response.HTTPStatusCode()) && !isCode(err, "RequestTimeout"):
		why = reason.StoreRefuses
	}
	return failed(why, fmt.Errorf("%s: %w", doing, withoutRequest(err)))
}

// isMissing reports whether there is no such object. A bucket that is not there is a refusal.
func isMissing(err error) bool { return isCode(err, "NoSuchKey", "NotFound") }

func isCode(err error, codes ...string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode())
}

// isRefusal reports whether a store that is asked again answers the same. Of the others, 429 and all from 500 on pass.
func isRefusal(code int) bool {
	return code >= http.StatusBadRequest && code < http.StatusInternalServerError && code != http.StatusTooManyRequests &&
		code != http.StatusRequestTimeout || code == http.StatusInsufficientStorage
}

// withoutRequest is what an object store said, without what identifies the request.
func withoutRequest(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorMessage() != "" {
		return fmt.Errorf("the object store says %s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	return err
}
