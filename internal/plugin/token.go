package plugin

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
	"github.com/consul-operator/consul-operator/internal/resources"
)

// keyToken is the key of the management token in its Secret, as HashiCorp's Helm chart names it.
const keyToken = "token"

func (s *session) tokenCommand() *cobra.Command {
	return &cobra.Command{
		Use: "token [CLUSTER]", Args: clusterArgs, Short: "Print the management token",
		Long: `Print the management token, and nothing else. It may do everything in Consul: keep it out of files and shell histories.`,
		Example: `  kubectl consul token                        # to log in to the UI
  CONSUL_HTTP_TOKEN="$(kubectl consul token)" consul members`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.on(cmd.Context(), args); err != nil {
				return err
			}
			c, err := s.cluster(cmd.Context())
			if err != nil {
				return err
			}
			if !hasACLs(c) {
				return fmt.Errorf("%s has no management token, and asks for none: its ACLs are off (status.acls); if spec.config "+
					"switches ACLs on, the token is the one that you have made", c.Name)
			}
			token, err := s.managementToken(cmd.Context(), c)
			if err != nil {
				return err
			}
			fmt.Fprintln(s.Out, token)
			return nil
		},
	}
}

// hasACLs reports whether servers ask for a token that the operator has made.
func hasACLs(c *v1alpha1.ConsulCluster) bool {
	return c.Status.ACLs == v1alpha1.ACLsAllow || c.Status.ACLs == v1alpha1.ACLsDeny
}

// managementToken reads the management token; empty without ACLs. It must not get into what is printed, nor into an error.
func (s *session) managementToken(ctx context.Context, c *v1alpha1.ConsulCluster) (string, error) {
	if !hasACLs(c) {
		return "", nil
	}
	secret := &corev1.Secret{}
	secret.Name, secret.Namespace = resources.ManagementSecretName(c.Name), c.Namespace
	return tokenIn(secret, s.client.Get(ctx, client.ObjectKeyFromObject(secret), secret))
}

// tokenIn is the token in a Secret that was read, or says what to do if it was not.
func tokenIn(secret *corev1.Secret, err error) (string, error) {
	token := string(secret.Data[keyToken])
	switch {
	case apierrors.IsForbidden(err):
		return "", fmt.Errorf("you may not read Secret %s in namespace %s, which holds the management token: whoever may can give you "+
			"a token with fewer rights (consul acl token create)", secret.Name, secret.Namespace)
	case apierrors.IsNotFound(err), err == nil && token == "":
		return "", fmt.Errorf("there is no token in Secret %s in namespace %s: the operator writes it again if it can; otherwise "+
			"bring it, see docs/security.md#tokens", secret.Name, secret.Namespace)
	}
	return token, err
}
