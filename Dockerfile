# platform-gate's container image, for those who have Docker; hack/image makes one of the same layout without it.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
# Static glibc needs no further Rust target, unlike musl. Naming the target keeps the flag away from build scripts.
RUN target="$(rustc -vV | sed -n 's/^host: //p')" \
 && RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target" \
 && mkdir -p /image/etc/ssl/certs \
 && cp "target/$target/release/platform-gate" /image/platform-gate \
 && cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ \
 && echo 'nonroot:x:65532:65532:nonroot:/:/sbin/nologin' >/image/etc/passwd

FROM scratch
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/platform-gate"]
