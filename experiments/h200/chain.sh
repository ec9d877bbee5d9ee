#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Trains resnet50 on a GPU machine that has no network, in commands of less than 10 minutes: see README.md here.
# Every command may be repeated: it goes on where it was, and leaves out what is done.
#   prepare DATA            here: wheels and data shards into .h200/, which git ignores
#   receive                 there: keep what was carried (.h200/part-N, .h200/wheels, .h200/weights-N)
#   backbone                there: the backbone; after LIMIT_S it ends with exit code 124: the same command again
#   link                    there: codec, then joint fine-tuning; likewise
#   rest                    there: SimNet and the baselines' codecs; likewise
#   collect backbone|link DIR   there: the weights, in files of less than 16 MiB
#   join DIR                here: what was collected, into WEIGHTS
# Again, from weights that were carried:
#   codecs                  there: the codec's VARIANTS, side by side
#   simnet VARIANT          there: SimNet on one of them
#   measure VARIANT         there: all that its figures are made of
#   collect again VARIANT DIR   there: codec, SimNet, and what was measured, each as far as there is one
#   join again DIR          here: what was collected, into WEIGHTS and DIR/measured
# IMAGES=N rehearses: so many images of each split, one epoch a stage, two BERs and one seed. SIZES, CODEC_EPOCHS,
# JOINT_EPOCHS, SIMNET_EPOCHS, FREE_EPOCHS, CNN_EPOCHS and AGAIN_EPOCHS fit the stages to the time there is. VARIANTS are
# label and distilled; DEVICE and WORKERS are measure's. What the shipped weights came of, stage by stage, is in their manifest.
set -euo pipefail
cd "$(dirname "$0")/../.."
PYTHON=${PYTHON:-python3}
STATE=${STATE:-/tmp/spikelink-h200}
WEIGHTS=${WEIGHTS:-$STATE/weights}
LIMIT_S=${LIMIT_S:-560}
PARTS=${PARTS:-2}
PROFILE=${PROFILE:-resnet50}
VARIANTS=${VARIANTS:-label distilled}
AGAIN_EPOCHS=${AGAIN_EPOCHS:-36}
DEVICE=${DEVICE:-cuda}
WORKERS=${WORKERS:-6}
# The machine's own torch serves; these are not on it.
WHEELS='annotated-types|loguru|pydantic|pydantic_core|spikingjelly|typing-inspection|typing_extensions'

if [[ -d $STATE/site ]]; then
    export PYTHONPATH=$STATE/site${PYTHONPATH:+:$PYTHONPATH}
fi

prepare() {
    local platforms=(manylinux_2_28_x86_64 manylinux_2_27_x86_64 manylinux_2_17_x86_64 manylinux2014_x86_64)
    mkdir -p .h200/wheels
    grep -E "^($WHEELS)==" requirements/constraints.txt | xargs "$PYTHON" -m pip download --no-deps \
        --only-binary=:all: --python-version 3.12 --implementation cp "${platforms[@]/#/--platform=}" -d .h200/wheels
    "$PYTHON" -m experiments.h200.shards pack "$1" .h200 "$PARTS"
}

receive() {
    mkdir -p "$STATE/shards"
    if [[ -d .h200/wheels ]]; then
        "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --upgrade --target "$STATE/site" .h200/wheels/*.whl
    fi
    local carried
    for carried in .h200/part-*; do
        if [[ -d $carried ]]; then cp -r "$carried" "$STATE/shards/"; fi
    done
    for carried in .h200/weights-*; do
        if [[ -d $carried ]]; then mkdir -p "$WEIGHTS/$PROFILE" && cp "$carried"/* "$WEIGHTS/$PROFILE/"; fi
    done
}

unpack() {
    [[ -f $STATE/data/train.bin ]] || "$PYTHON" -m experiments.h200.shards unpack "$STATE/shards" "$STATE/data"
}

# train STAGE EPOCHS BATCH RATE MORE...
train() {
    local stage=$1 epochs=$2 batch=$3 rate=$4 few=() left_s=$((LIMIT_S - SECONDS))
    shift 4
    if [[ -f $STATE/$stage.done ]]; then return; fi
    if ((left_s <= 0)); then exit 124; fi
    if [[ -n ${IMAGES:-} ]]; then
        epochs=1
        few=(--images "$IMAGES")
    fi
    if [[ $stage != backbone ]]; then
        few+=(--epochs "$epochs")
    fi
    unpack
    # --resume begins anew where there is nothing to go on from.
    timeout --signal=INT --kill-after=20 "$left_s" "$PYTHON" -m cli train "$stage" --profile "$PROFILE" --resume \
        --checkpoint-minutes 1 --data "$STATE/data" --runs "$STATE/runs" --weights "$WEIGHTS" \
        --batch "$batch" --learning-rate "$rate" ${few[@]+"${few[@]}"} "$@"
    touch "$STATE/$stage.done"
}

# What a codec trained again learns from, by name: the label alone, or what the task head says of F.
declare -A VARIANT=(
    [label]=""
    [distilled]="--distil 1"
)

# in_variant NAME STAGE EPOCHS RATE MORE...: a stage on fresh images in a folder of its own, whose log it writes
in_variant() {
    local folder=$STATE/$1 stage=$2 epochs=$3 rate=$4 few=() left_s=$((LIMIT_S - SECONDS))
    shift 4
    if [[ -f $folder/$stage.done ]]; then return; fi
    if ((left_s <= 0)); then return 124; fi
    if [[ -n ${IMAGES:-} ]]; then
        epochs=1
        few=(--images "$IMAGES")
    fi
    timeout --signal=INT --kill-after=20 "$left_s" "$PYTHON" -m cli train "$stage" --profile "$PROFILE" --resume \
        --checkpoint-minutes 1 --data "$STATE/data" --runs "$folder/runs" --weights "$folder/weights" \
        --batch 512 --epochs "$epochs" --learning-rate "$rate" --weight-bits 5 ${few[@]+"${few[@]}"} "$@" \
        >>"$folder/$stage.log" 2>&1 || return
    touch "$folder/$stage.done"
    "$PYTHON" -m experiments.h200.carried figures "$folder/weights/$PROFILE" "$stage"
}

codecs() {
    local name running=() failed=0
    unpack
    for name in $VARIANTS; do
        if [[ ! -d $STATE/$name/weights ]]; then
            mkdir -p "$STATE/$name/weights" && cp -r "$WEIGHTS/$PROFILE" "$STATE/$name/weights/"
        fi
        # shellcheck disable=SC2086  # a variant is several words, or none
        in_variant "$name" codec "$AGAIN_EPOCHS" 5e-4 --cutmix 0.5 --start "$WEIGHTS/$PROFILE" --keep-norm \
            ${VARIANT[$name]} &
        running+=($!)
    done
    for name in "${running[@]}"; do wait "$name" || failed=$?; done
    return "$failed"
}

measure() {
    local folder=$STATE/$1 few=() left_s=$((LIMIT_S - SECONDS))
    if ((left_s <= 0)); then return 124; fi
    if [[ -n ${IMAGES:-} ]]; then few=(--images "$IMAGES" --bers 0,0.3 --seeds 1); fi
    timeout --signal=INT --kill-after=20 "$left_s" "$PYTHON" -m cli reproduce --measure-only --no-ldpc \
        --device "$DEVICE" --workers "$WORKERS" --profile "$PROFILE" --data "$STATE/data" \
        --weights "$folder/weights" --runs "$folder/measured" ${few[@]+"${few[@]}"}
}

# collect_again VARIANT DIR: codec and SimNet, as far as the manifest names them, and what was measured with them
collect_again() {
    local folder=$STATE/$1 part files=("$PROFILE/manifest.json")
    mkdir -p "$2"
    for part in encoder reconstructor converter prior similarity; do
        if grep -q "\"$part\": {" "$folder/weights/$PROFILE/manifest.json"; then files+=("$PROFILE/$part.safetensors"); fi
    done
    tar -C "$folder/weights" -c "${files[@]}" | split -b 15M - "$2/again.tar."
    if [[ -d $folder/measured ]]; then tar -C "$folder" -c measured | split -b 15M - "$2/measured.tar."; fi
}

collect() {
    local parts=(edge head) folder=$2
    if [[ $1 == link ]]; then
        parts=(encoder reconstructor converter prior similarity)
        # The baselines' weights come too, since their figures are measured elsewhere; they are not committed.
        parts+=(noise-free-encoder noise-free-reconstructor noise-free-converter cnn-1bit-encoder cnn-1bit-decoder)
    fi
    local files=("${parts[@]/#/$PROFILE/}")
    mkdir -p "$folder"
    tar -C "$WEIGHTS" -c "$PROFILE/manifest.json" "${files[@]/%/.safetensors}" | split -b 15M - "$folder/$1.tar."
}

join_again() {
    cat "$1/again.tar."* | tar -C "$WEIGHTS" -x
    if compgen -G "$1/measured.tar.*" >/dev/null; then cat "$1/measured.tar."* | tar -C "$1" -x; fi
    "$PYTHON" -m experiments.h200.carried "$WEIGHTS/$PROFILE"
}

join() {
    mkdir -p "$WEIGHTS"
    local kind
    for kind in backbone link; do
        cat "$1/$kind.tar."* | tar -C "$WEIGHTS" -x
    done
    "$PYTHON" -m experiments.h200.carried "$WEIGHTS/$PROFILE"
}

case ${1:-} in
    prepare) prepare "$2" ;;
    receive) receive ;;
    backbone)
        sizes=${SIZES:-24:6,32:66}
        if [[ -n ${IMAGES:-} ]]; then sizes=16:1; fi
        # Not compiled: for two image sizes that takes a good part of so short a run.
        train backbone 0 512 0.5 --sizes "$sizes" --cutmix 0.5 --no-compile
        ;;
    link)
        train codec "${CODEC_EPOCHS:-14}" 512 2e-3
        train joint "${JOINT_EPOCHS:-4}" 256 1e-4
        ;;
    rest)
        train simnet "${SIMNET_EPOCHS:-8}" 512 1e-3
        train noise-free-codec "${FREE_EPOCHS:-10}" 512 2e-3
        train cnn-1bit "${CNN_EPOCHS:-14}" 512 2e-3
        ;;
    codecs) codecs ;;
    simnet) in_variant "$2" simnet "${SIMNET_EPOCHS:-8}" 1e-3 --cutmix 0 ;;
    measure) measure "$2" ;;
    collect) if [[ $2 == again ]]; then collect_again "$3" "$4"; else collect "$2" "$3"; fi ;;
    join) if [[ $2 == again ]]; then join_again "$3"; else join "$2"; fi ;;
    *)
        sed -n '5,18s/^#   //p' "$0" >&2
        exit 2
        ;;
esac
