#!/usr/bin/env bash
# libmerit as an outsider uses it: installed into a directory of its own, examples/embed.c built against it with a plain
# compiler, shared and static, and nothing but merit_* to be seen. Usage: tests/e2e/libmerit.sh BUILD_DIR [CFLAGS...]
set -eu
cd "$(dirname "$0")/../.."
build=$1
shift
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
fail() {
    echo "libmerit: $*" >&2
    exit 1
}

cmake --install "$build" --prefix "$dir/usr" --component libmerit >/dev/null
lib=$(dirname "$(find "$dir/usr" -name libmerit.a)")
inc=$dir/usr/include

named() {
    PKG_CONFIG_PATH=$lib/pkgconfig pkg-config --variable="$1" merit
}
[ -e "$(named includedir)/merit/merit.h" ] || fail "merit.pc names $(named includedir), where no merit.h is"
[ -e "$(named libdir)/libmerit.so" ] || fail "merit.pc names $(named libdir), where no libmerit.so is"

strangers=$(nm -D --defined-only "$lib/libmerit.so" | awk '$3 !~ /^merit_/ { print $3 }')
[ -z "$strangers" ] || [ $# -gt 0 ] || fail "the shared library shows $strangers"
strangers=$(nm -g --defined-only "$lib/libmerit.a" | awk 'NF == 3 && $3 !~ /^merit_/ { print $3 }')
[ -z "$strangers" ] || [ $# -gt 0 ] || fail "the static library shows $strangers"
for name in $(grep -o '\bmerit_[a-z_]*(' "$inc/merit/merit.h" | tr -d '(' | sort -u); do
    nm -D --defined-only "$lib/libmerit.so" | grep -q " T $name\$" || fail "$name is declared and not there"
done

${CC:-cc} -std=c99 -Wall -Wextra -Wpedantic -Werror "$@" -I"$inc" -o "$dir/shared" examples/embed.c \
    -L"$lib" -lmerit -Wl,-rpath,"$lib"
${CC:-cc} "$@" -I"$inc" -o "$dir/static" examples/embed.c "$lib/libmerit.a" -lhs -lutf8proc -lm -pthread
echo '#include <merit/merit.h>' >"$dir/plus.cc"
${CXX:-c++} -std=c++11 -Wall -Wextra -Wpedantic -Werror -I"$inc" -fsyntax-only "$dir/plus.cc"

cat >"$dir/p.merit" <<'END'
policy "outside" version 1
model small endpoint "http://127.0.0.1:9/v1"  context 8k tok  output 1k tok  price 0.1 in, 0.2 out usd/Mtok
model large endpoint "http://127.0.0.1:9/v1"  context 128k tok  output 8k tok  can images  price 1 in, 4 out usd/Mtok
signal rude = keywords("damn")
route no when rude -> refuse "mind your words"
otherwise -> answer(small, large) minimise cost
END
text() {
    printf '{"messages":[{"role":"user","content":%s}]}' "$1"
}
for kind in shared static; do
    run="$dir/$kind"
    out=$("$run" "$dir/p.merit" "$(text '"hello"')") || fail "$kind: hello gave $?"
    [ "$(head -1 <<<"$out")" = "model small" ] || fail "$kind: $out"
    grep -q '"verdict":"dearer"' <<<"$out" || fail "$kind: no record: $out"
    out=$("$run" "$dir/p.merit" "$(text '"damn it"')") || fail "$kind: refusal gave $?"
    [ "$(head -1 <<<"$out")" = "refused: mind your words" ] || fail "$kind: $out"
    out=$("$run" "$dir/p.merit" "$(text '[{"type":"image_url"}]')")
    [ "$(head -1 <<<"$out")" = "model large" ] || fail "$kind: $out"
    "$run" "$dir/p.merit" '{"messages":[]}' 2>"$dir/err" && fail "$kind: an empty request passed"
    grep -q empty "$dir/err" || fail "$kind: $(cat "$dir/err")"
    echo 'route x when nobody -> answer(small)' >"$dir/bad.merit"
    "$run" "$dir/bad.merit" '{}' 2>"$dir/err" && fail "$kind: a bad policy passed"
    grep -q 'error\[' "$dir/err" || fail "$kind: $(cat "$dir/err")"
done
echo "libmerit: ok"
