# docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=$(git describe --tags) -t consul-operator .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY main.go ./
COPY api api
COPY controllers controllers
COPY internal internal
ARG TARGETOS TARGETARCH VERSION=dev
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /consul-operator .

# Nothing but the binary: the API server's certificate authority comes with the service account.
FROM scratch
COPY --from=build /consul-operator /consul-operator
USER 65532:65532
ENTRYPOINT ["/consul-operator"]
