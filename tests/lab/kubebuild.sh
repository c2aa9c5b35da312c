#!/usr/bin/env bash
# kubebuild.sh FOLDER: kube-apiserver and kube-controller-manager from Debian's own source package, which has all that
# they need in it. About four minutes on two cores; what lies in FOLDER at the end are the two programs.
set -euo pipefail
out=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir -p parts lists/partial
: >empty.list
sed 's/^Types: .*/Types: deb-src/' /etc/apt/sources.list.d/debian.sources >parts/src.sources
apt=(-o "Dir::Etc::sourcelist=$work/empty.list" -o "Dir::Etc::sourceparts=$work/parts" -o "Dir::State::lists=$work/lists"
  -o APT::Sandbox::User=root)
apt-get -q "${apt[@]}" update
apt-get -q "${apt[@]}" source --download-only kubernetes
tar xzf kubernetes_*.orig.tar.gz
mkdir -p gp/src/k8s.io
mv kubernetes-1.20.2 gp/src/k8s.io/kubernetes
cd gp/src/k8s.io/kubernetes
export PATH=/usr/lib/go-1.19/bin:$PATH GOPATH=$work/gp GOCACHE=$work/cache CGO_ENABLED=0
export GO111MODULE=off # module mode refuses a go.mod that old
# The reflect2 in it panics under this Go, and answers break off: Debian's own one does not.
reflect=vendor/github.com/modern-go/reflect2
rm -f "$reflect"/*.go "$reflect"/*.s
cp /usr/share/gocode/src/github.com/modern-go/reflect2/*.{go,s} "$reflect"/
# The description of its API is made first: the server does not build without it.
go build -o "$work/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
described=$(grep -rl --include='*.go' '+k8s:openapi-gen=' staging/src/k8s.io pkg vendor/k8s.io |
  grep -vE '_test.go|/testdata/|sample-|/examples/|code-generator|kube-openapi/(pkg/generators|test)' |
  xargs -n1 dirname | sort -u |
  sed 's#^staging/src/#k8s.io/kubernetes/vendor/#; s#^pkg/#k8s.io/kubernetes/pkg/#; s#^vendor/#k8s.io/kubernetes/vendor/#' |
  sort -u | paste -sd,)
"$work/openapi-gen" --logtostderr -i "$described" -p k8s.io/kubernetes/pkg/generated/openapi -O zz_generated.openapi \
  -h hack/boilerplate/boilerplate.generatego.txt --output-base "$work/gp/src" -r /dev/null
# providerless: without it the clouds' libraries cost minutes. Its own packages are not optimized and nothing is kept for
# a debugger: a fifth less work. The libraries are optimized, so that the server is not slower.
for program in kube-apiserver kube-controller-manager; do
  go build -tags providerless -gcflags='k8s.io/kubernetes/...=-N -l' -ldflags='-s -w' \
    -o "$out/$program" "k8s.io/kubernetes/cmd/$program"
done
