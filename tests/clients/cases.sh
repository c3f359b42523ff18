# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2153,SC2154,SC2317 # BUILD, WORK, CLI: tests/support.sh; cases are called by their names
# Sourced after tests/support.sh: what llama.cpp's and others' programs do, each once on the CPU and once on VirtGPU0 over
# the same library, with one thread and no repacking on either side. The answers are compared as they are: tokens,
# embeddings, probabilities.
#   SIDE  cpu or gpu     DEV  its -dev     VIA  what goes before its commands     OUT  what the case has to write

TINY=$WORK/tiny.gguf
START=60 # seconds that a server may take to start
# tiny [OPTION…]: a smaller model than $MODEL, for what only has to be the same
tiny() {
    local out=$1
    shift
    [ -s "$out" ] || "$LAB/bin/mkmodel" "$out" --layers 4 --embd 256 --heads 4 --ff 512 --vocab 512 "$@" >/dev/null
}

# side FUNCTION [ARGUMENT…]: on $SIDE
side() {
    DEV=none VIA=()
    [ "$SIDE" = cpu ] || DEV=VirtGPU0 VIA=("$CLI" run -o ggml.threads=1 --)
    : >"$OUT.log"
    "$@"
}
# both FUNCTION [ARGUMENT…]: on both sides; the answers are there, and the same; the host computed
both() {
    local name=${CASE:-$1}
    for SIDE in cpu gpu; do
        OUT=$WORK/$name.$SIDE
        side "$@"
        [ -s "$OUT" ] || { tail -n 5 "$OUT.log"; fail "$name: no answer from $SIDE"; }
    done
    cmp "$WORK/$name.cpu" "$WORK/$name.gpu" || { diff "$WORK/$name.cpu" "$WORK/$name.gpu" | head -n 6 | cut -c 1-300 || true; fail "$name: not the CPU's answer"; }
    grep -qE ' [1-9][0-9]* graphs computed' "$OUT.log" || { tail -n 5 "$OUT.log"; fail "$name: the host computed nothing"; }
}

# server_start OPTION…: a llama-server at $SOCKET; sets `server`
server_start() {
    SOCKET=$OUT.sock
    rm -f "$SOCKET"
    # The log is appended to: a case may start several.
    ${VIA[@]+"${VIA[@]}"} llama-server --host "$SOCKET" -t 1 "$@" >>"$OUT.log" 2>&1 </dev/null &
    server=$!
    case_pids+=("$server")
    healthy() { is_gone "$server" || { [ -S "$SOCKET" ] && ask_quietly /health | grep -q '^200'; }; }
    ask_quietly() { tests/clients/ask "$SOCKET" 2>/dev/null <<<"$1"; }
    within "$START" healthy || true
    ! is_gone "$server" || { tail -n 8 "$OUT.log"; fail "llama-server ended"; }
}
server_stop() {
    kill "$server"
    ended "$server" 30
}
# one_server OPTION…: with one model, which lies wholly on the device
one_server() {
    server_start -m "$TINY" -ngl 99 -dev "$DEV" --no-repack --no-warmup "$@"
}
# ask LINE…: the answers, of which all must be good
ask() {
    printf '%s\n' "$@" | tests/clients/ask "$SOCKET" >"$OUT.answer"
    if grep -v '^200 ' "$OUT.answer" | cut -c 1-300 >&2; then
        fail "llama-server refused" >&2
    fi
    cat "$OUT.answer"
}
# tokens <ANSWERS: the token numbers
tokens() {
    sed -nE 's/^200 .*"tokens":(\[[0-9,]+\]).*/\1/p'
}
# completion N [FIELD…]: a request for N tokens. Without CACHE=true no slot's earlier tokens are used: natively, too, they may
# have been computed with another LoRA scale (half of 60 runs).
completion() {
    local n=$1 more=
    shift
    [ $# = 0 ] || more=$(printf ',%s' "$@")
    echo "/completion {\"prompt\":[1,${PROMPT:-20,44,301,9,77}],\"n_predict\":$n,\"temperature\":0,\"return_tokens\":true,\"ignore_eos\":true,\"cache_prompt\":${CACHE:-false}$more}"
}
# one_answer N OPTION…: of a server with these options
one_answer() {
    local n=$1
    shift
    one_server -c 512 -np 1 "$@"
    ask "$(completion "$n")" | tokens >"$OUT"
    server_stop
}

# server_many COUNT: so many requests at once
server_many() {
    local i requests=()
    for ((i = 0; i < $1; i++)); do
        requests+=("$(PROMPT=$((i + 10)),$((i * 7 % 500 + 5)),$((i * i % 500 + 5)),9,$((i + 100)) completion $((8 + i % 5)))")
    done
    one_server -c 1024 -np 4
    ask "${requests[@]}" | tokens >"$OUT"
    [ "$(wc -l <"$OUT")" = "$1" ] || fail "not $1 answers"
    # As most programs ask: a chat, and its answer as it comes.
    ask '/v1/chat/completions {"messages":[{"role":"user","content":"compute"}],"max_tokens":16,"cache_prompt":false,"temperature":0,"ignore_eos":true}' |
        grep -oE '"content":"([^"\\]|\\.)+"' >>"$OUT"
    ask '/v1/chat/completions {"messages":[{"role":"user","content":"more"}],"max_tokens":8,"cache_prompt":false,"temperature":0,"ignore_eos":true,"stream":true}' |
        grep -oE '"content":"([^"\\]|\\.)+"' >>"$OUT"
    server_stop
}
# llama_server [COUNT]
llama_server() {
    local count=${1:-80}
    tiny "$TINY"
    both server_many "$count"
    [ "$(sort -u "$WORK/server_many.gpu" | wc -l)" -gt $((count * 7 / 8)) ] || fail "the answers are the same"
}

completion_text() {
    local try
    for try in 1 2 3; do # its last words get lost now and then, and with them the closing empty line
        ${VIA[@]+"${VIA[@]}"} llama-completion -m "$MODEL" -dev "$DEV" -t 1 -ngl 99 --no-repack -p 'The host computes' -n 48 --temp 0 --seed 1 -no-cnv \
            --ignore-eos --no-warmup --simple-io --no-display-prompt "$@" >"$OUT" 2>"$OUT.log" </dev/null
        if [ -z "$(tail -n 1 "$OUT")" ]; then
            sed -i '/saving final output to session file/d' "$OUT"
            return 0
        fi
        note "llama-completion lost its end"
    done
    fail "no whole text in $try tries"
}
llama_completion() {
    both completion_text
}
# The second run takes the first one's state from the file.
cached_text() {
    rm -f "$OUT.cache"
    completion_text --prompt-cache "$OUT.cache" --prompt-cache-all
    mv "$OUT" "$OUT.first"
    completion_text --prompt-cache "$OUT.cache" --prompt-cache-ro
    has "$OUT.log" "session file has exact match for prompt" || { tail -n 20 "$OUT.log"; fail "the file wasn't used"; }
    cat "$OUT.first" >>"$OUT"
}
prompt_cache() {
    both cached_text
}

kv_type() {
    one_answer 40 "$@"
}
# kv_types TYPE…: of keys and of values, with flash attention and without; and a cache that stays on the CPU
kv_types() {
    local k v
    tiny "$TINY"
    for k in "$@"; do
        for v in "$k" f16; do
            CASE=kv_type.$k.$v both kv_type -fa on -ctk "$k" -ctv "$v"
        done
        CASE=kv_type.$k.off both kv_type -fa off -ctk "$k"
    done
    # The cache on the CPU: its views stand between the device's nodes.
    CASE=kv_type.nkvo both kv_type -nkvo -np 2
}
shifted() {
    one_server -c 256 -np 1 --context-shift "$@"
    ask "$(completion 600)" | tokens >"$OUT"
    [ "$(tr -cd , <"$OUT" | wc -c)" = 599 ] || fail "not 600 tokens"
    server_stop
}
context_shift() {
    tiny "$TINY"
    both shifted
    CASE=shifted.q8_0 both shifted -fa on -ctk q8_0
}

# adds WHAT OPTION…: its tokens are the CPU's, and not those of the bare model
adds() {
    local what=$1
    shift
    tiny "$TINY"
    CASE=bare both one_answer 40
    CASE=$what both one_answer 40 "$@"
    ! cmp -s "$WORK/bare.gpu" "$WORK/$what.gpu" || fail "$what changes nothing"
}
lora_answers() {
    one_server -c 512 -np 2 --lora "$WORK/lora.gguf"
    ask "$(completion 30)" "$(completion 30 '"lora":[{"id":0,"scale":0.5}]')" "$(completion 30 '"lora":[{"id":0,"scale":0}]')" | tokens >"$OUT"
    [ "$(sort -u "$OUT" | wc -l)" = 3 ] || fail "three scales give not three answers"
    server_stop
}
lora() {
    tiny "$TINY"
    "$BUILD/check/bin/mkadapter" lora "$WORK/lora.gguf" 4 256
    adds lora_alone --lora "$WORK/lora.gguf"
    both lora_answers
}
control_vector() {
    "$BUILD/check/bin/mkadapter" control "$WORK/control.gguf" 4 256
    adds control --control-vector "$WORK/control.gguf"
}

slot_answers() {
    local PROMPT=20,44,301,9,77 CACHE=true
    mkdir -p "$OUT.slots"
    one_server -c 512 -np 1 --slot-save-path "$OUT.slots"
    ask "$(completion 20 '"id_slot":0')" | tokens >"$OUT"
    ask '/slots/0?action=save {"filename":"state"}' >/dev/null
    ask "$(PROMPT=200,201 completion 20 '"id_slot":0')" | tokens >>"$OUT"
    ask '/slots/0?action=restore {"filename":"state"}' | sed -E 's/.*("n_restored":[0-9]+).*/\1/' >>"$OUT"
    # 6 tokens of the prompt, 19 of the answer: what follows them is computed from what was restored.
    PROMPT+=,$(sed -n '1s/[][]//gp' "$OUT")
    ask "$(completion 20 '"id_slot":0')" >"$OUT.restored"
    tokens <"$OUT.restored" >>"$OUT"
    grep -oE '"cache_n":[0-9]+' "$OUT.restored" >>"$OUT"
    server_stop
}
slots() {
    tiny "$TINY"
    both slot_answers
    [ "$(sed -nE 's/"cache_n":([0-9]+)/\1/p' "$WORK/slot_answers.gpu")" -ge 20 ] || { cat "$WORK/slot_answers.gpu"; fail "nothing was restored"; }
}

embedded() {
    local pooling=$1 i requests=()
    for ((i = 0; i < 8; i++)); do
        requests+=("/embedding {\"content\":\"host $i computes $((i * 37))\"}")
    done
    one_server -c 1024 -np 4 --embeddings --pooling "$pooling"
    ask "${requests[@]}" >"$OUT"
    [ "$(grep -c '"embedding":\[.*[1-9]' "$OUT")" = 8 ] || { cut -c 1-300 "$OUT"; fail "not 8 embeddings"; }
    server_stop
}
embeddings() {
    local pooling
    tiny "$TINY"
    for pooling in mean cls last; do
        CASE=embedded.$pooling both embedded $pooling
    done
}

drafted() {
    local draft=$1
    shift
    one_server -c 512 -np 2 -md "$draft" -ngld 99 -devd "$DEV" --spec-type draft-simple --spec-draft-n-max 6 "$@"
    ask "$(completion 60)" "$(PROMPT=31,32,33 completion 60)" >"$OUT.whole"
    tokens <"$OUT.whole" >"$OUT"
    grep -oE '"draft_n(_accepted)?":[0-9]+' "$OUT.whole" >"$OUT.drafts" || fail "nothing was drafted"
    server_stop
}
# A draft that is the model itself is taken, one that isn't is refused; the tokens are those without one.
speculative() {
    tiny "$TINY"
    tiny "$WORK/draft.gguf" --seed 7
    CASE=drafted.same both drafted "$TINY"
    CASE=drafted.other both drafted "$WORK/draft.gguf"
    cmp "$WORK/drafted.same.gpu" "$WORK/drafted.other.gpu" || fail "the draft decides what is said"
    note "drafts of the model itself: $(paste -sd' ' "$WORK/drafted.same.gpu.drafts"); of another: $(paste -sd' ' "$WORK/drafted.other.gpu.drafts")"
    [ "$(sed -n 's/"draft_n_accepted"://p' "$WORK/drafted.same.gpu.drafts" | head -n 1)" -gt 20 ] || fail "few drafts of the model itself were taken"
}

programs_16() {
    local i text pids=()
    text=$(native_text 48)
    serve_start sixteen --socket "$WORK/sixteen.sock" -o ggml.threads=1
    export GGML_VIRTGPU_SOCKET=$WORK/sixteen.sock GGML_BACKEND_PATH=$BUILD/guest/libggml-virtgpu.so
    for ((i = 0; i < 16; i++)); do
        tests/complete "$MODEL" VirtGPU0 48 >"$WORK/sixteen.$i" 2>"$WORK/sixteen.$i.log" &
        pids+=($!)
    done
    for ((i = 0; i < 16; i++)); do
        wait "${pids[i]}" || { tail -n 5 "$WORK/sixteen.$i.log"; fail "program $i ended with $?"; }
        cmp "$text" "$WORK/sixteen.$i"
    done
    done_all() { [ "$(grep -cE ' [1-9][0-9]* graphs computed' "$WORK/sixteen.log")" = 16 ]; }
    within 10 done_all || fail "not 16 programs that computed"
}

routed() {
    local model
    server_start --models-dir "$WORK/models" --models-max 1 -ngl 99 -dev "$DEV" --no-repack --no-warmup -c 256 -np 1
    for model in a b c a b c; do
        ask "$(completion 20 "\"model\":\"$model\"")" | tokens >>"$OUT"
    done
    ask '/models/unload {"model":"c"}' >/dev/null
    unloaded() { ! ask_quietly /models | grep -q '"value": *"loaded"'; }
    within 20 unloaded || { ask /models; fail "a model stays loaded"; }
    server_stop
}
router() {
    local seed=1 model
    mkdir -p "$WORK/models"
    for model in a b c; do
        tiny "$WORK/models/$model.gguf" --seed $((seed++))
    done
    both routed
    [ "$(sort -u "$WORK/routed.gpu" | wc -l)" = 3 ] || { cat "$WORK/routed.gpu"; fail "not three models' answers, twice"; }
    [ "$(grep -cE ' [1-9][0-9]* graphs computed' "$WORK/routed.gpu.log")" -ge 5 ] || fail "models weren't loaded anew"
}

# words: a text of the made-up words of mkmodel's vocabulary
words() {
    local i
    for ((i = 0; i < $1; i++)); do
        printf ' w%d' $((259 + (i * 7919 + i * i) % 250))
    done
}
estimated() {
    ${VIA[@]+"${VIA[@]}"} llama-perplexity -m "$TINY" -f "$WORK/words" -t 1 -c 128 -b 256 --chunks 8 -ngl 99 -dev "$DEV" --no-repack --no-warmup \
        >"$OUT.out" 2>"$OUT.log"
    grep -ohE 'Final estimate.*|\[[0-9]+\][0-9.]+,' "$OUT.out" "$OUT.log" >"$OUT"
    grep -q 'Final estimate' "$OUT" || fail "no estimate"
}
perplexity() {
    tiny "$TINY"
    words 1500 >"$WORK/words"
    both estimated
    note "$(grep Final "$WORK/estimated.gpu")"
}
tuned() {
    ${VIA[@]+"${VIA[@]}"} llama-finetune -m "$WORK/f32.gguf" -f "$WORK/words.short" -t 1 -c 32 -b 32 -ub 32 -ngl 99 -dev "$DEV" -fa off --no-repack -epochs 1 -lr 1e-4 \
        -o "$OUT.gguf" >"$OUT.out" 2>"$OUT.log"
    sha256sum <"$OUT.gguf" >"$OUT"
}
finetune() {
    [ -s "$WORK/f32.gguf" ] || "$LAB/bin/mkmodel" "$WORK/f32.gguf" --layers 2 --embd 64 --heads 2 --ff 128 --vocab 512 --type f32 >/dev/null
    words 300 >"$WORK/words.short"
    both tuned
    ! cmp -s "$WORK/f32.gguf" "$WORK/tuned.gpu.gguf" || fail "nothing was learnt"
}

heard() {
    local ng=()
    [ "$SIDE" = gpu ] || ng=(-ng)
    ${VIA[@]+"${VIA[@]}"} whisper-cli -m "$WORK/whisper.bin" -f "$WORK/sound.wav" -t 1 "${ng[@]}" -ojf -of "$OUT" "$@" >"$OUT.out" 2>"$OUT.log"
    grep -vE '^\s*"(systeminfo|model)":' "$OUT.json" >"$OUT" # of the machine, not of what was heard
    [ "$(grep -c '"p":' "$OUT")" -gt 1 ] || { cat "$OUT.out"; fail "nothing was heard"; }
}
whisper() {
    "$BUILD/check/bin/mkwhisper" "$WORK/whisper.bin" "$WORK/sound.wav"
    CASE=heard.greedy both heard -bs 1 -bo 1 -nf
    CASE=heard.text both heard -bs 1 -bo 1 -nf -nt
    CASE=heard.beams both heard -bs 5 -nf -nt
    CASE=heard.plain both heard -bs 1 -bo 1 -nf -nt -nfa
    note "$(grep -c '"p":' "$WORK/heard.text.gpu") tokens with their probabilities"
}

# heard_by_server: two sounds at once, which whisper-server hears one after the other; it knows no Unix sockets
heard_by_server() {
    local port ng=() readers=()
    [ "$SIDE" = gpu ] || ng=(-ng)
    port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport')
    ${VIA[@]+"${VIA[@]}"} whisper-server -m "$WORK/whisper.bin" -t 1 "${ng[@]}" -bs 1 -bo 1 -nf --port "$port" >>"$OUT.log" 2>&1 </dev/null &
    server=$!
    case_pids+=("$server")
    listening() { is_gone "$server" || (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
    within "$START" listening || true
    for i in 1 2; do
        tests/clients/hear "$port" "$WORK/sound.wav" >"$OUT.$i" &
        readers+=($!)
    done
    wait "${readers[@]}"
    cat "$OUT.1" "$OUT.2" >"$OUT"
    [ "$(grep -cE '"avg_logprob": *-?[0-9]' "$OUT")" -ge 2 ] || { tail -n 5 "$OUT.log"; head -c 600 "$OUT"; fail "nothing was heard"; }
    server_stop
}
whisper_server() {
    "$BUILD/check/bin/mkwhisper" "$WORK/whisper.bin" "$WORK/sound.wav"
    both heard_by_server
}

# node_tokens SIDE LAYERS CMD…: the tokens to $WORK/node.SIDE, all that was said to $WORK/node.SIDE.json
node_tokens() {
    local out=$WORK/node.$1 layers=$2
    shift 2
    "$@" node "$BUILD/check/node/node.mjs" "$MODEL" "$layers" 48 >"$out.json" 2>"$out.log" || { tail -n 8 "$out.log"; fail "node-llama-cpp failed"; }
    grep -oE '"tokens":\[[0-9,]+\]' "$out.json" >"$out" || fail "no tokens"
}
node_llama_cpp() {
    local cpu
    [ -e "$BUILD/check/node/.complete" ] || skip "node-llama-cpp couldn't be had"
    node_tokens cpu 0 env
    cpu=$(sed -nE 's/.*"cpu":"([^"]+)".*/\1/p' "$WORK/node.cpu.json")
    [ -e "$cpu" ] || fail "it doesn't say which library computes"
    node_tokens gpu 99 "$CLI" run --ggml "$cpu" -o ggml.threads=1 --
    cmp "$WORK/node.cpu" "$WORK/node.gpu"
    grep -q '"layers":23,' "$WORK/node.gpu.json" || fail "not all layers are on the device"
    grep -q ' [1-9][0-9]* graphs computed' "$WORK/node.gpu.log" || fail "the host computed nothing"
}
