/* A GPU on host memory that does nothing before it is waited for.

What is put on a stream stays there until the host waits for that stream or for an event behind it, or until work that
is waited for was ordered after it; asking whether it is done gets nothing done. A copy reads its source only when its
turn comes. Memory holds POISON until it is written and again once it is freed, and no address is given twice; what a
copy will write on the host holds POISON until then.

A real one may do more, and earlier: order that suffices here suffices there. The default stream is stricter than
CUDA's: it waits for no other. One thread at a time. Streams, graphs and memory stay until the process ends. */

#define _GNU_SOURCE
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef enum {
    SUCCESS = 0,
    INVALID_VALUE = 1,
    OUT_OF_MEMORY = 2,
    INVALID_DEVICE = 101,
    INVALID_CONTEXT = 201,
    INVALID_HANDLE = 400,
    NOT_READY = 600,
    ILLEGAL_ADDRESS = 700,
    NOT_SUPPORTED = 801,
    CAPTURE_UNSUPPORTED = 900,
    CAPTURE_ISOLATION = 905,
} Result;

/* Memory: blocks one after the other, each behind the room in which its size stands. */

enum { POISON = 0xFF, ALIGNMENT = 512 };
static const size_t ROOM = (size_t)1 << 32;

typedef uint64_t Address;

typedef struct {
    Address start, next;
} Memory;

static Memory on_gpu, pinned;

static int holds(const Memory *memory, Address address) {
    return memory->start && address - memory->start < ROOM;
}

static Result take(Memory *memory, size_t size, Address *address) {
    if (!memory->start) {
        void *start = mmap(NULL, ROOM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (start == MAP_FAILED) return OUT_OF_MEMORY;
        memory->start = memory->next = (Address)start;
    }
    if (size > ROOM || memory->next + size + 2 * ALIGNMENT > memory->start + ROOM) return OUT_OF_MEMORY;
    *(size_t *)memory->next = size;
    *address = memory->next + ALIGNMENT;
    memory->next = *address + (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memset((void *)*address, POISON, size);
    return SUCCESS;
}

static size_t size_at(Address address) { return *(size_t *)(address - ALIGNMENT); }

static Result free_at_once(const Memory *memory, Address address) {
    if (!holds(memory, address)) return INVALID_VALUE;
    memset((void *)address, POISON, size_at(address));
    return SUCCESS;
}

/* Work: steps in order. A stream has run the first `done` of its own. */

typedef struct Stream Stream;

typedef struct { /* the first `place` steps of a stream; of none, nothing */
    Stream *stream;
    size_t place;
} Event;

typedef void (*HostFunction)(void *);

typedef struct {
    enum { COPY, FILL, CALL, WAIT } kind;
    Address target, source;
    size_t size;
    unsigned value, width; /* of what fills `size` times `width` bytes */
    HostFunction function;
    void *argument;
    Event event;
} Step;

typedef struct {
    Step *steps;
    size_t count, room;
} Work;

struct Stream {
    Work work;
    size_t done;
    Result failure; /* of a step: none runs after it */
    Work *recorded; /* the graph that takes what is put on, or NULL */
    Stream *next;
};

static Stream default_streams[2] = {{.next = &default_streams[1]}}; /* CUDA's legacy one, and that of the thread */
static Stream *streams = default_streams;

static void append(Work *work, Step step) {
    if (work->count == work->room) {
        work->room = 2 * work->room + 16;
        work->steps = realloc(work->steps, work->room * sizeof step);
        if (!work->steps) abort();
    }
    work->steps[work->count++] = step;
}

static Result put(Stream *stream, Step step) {
    if (!stream->recorded && step.kind == COPY && !holds(&on_gpu, step.target))
        memset((void *)step.target, POISON, step.size);
    append(stream->recorded ? stream->recorded : &stream->work, step);
    return SUCCESS;
}

static Event now(Stream *stream) { return (Event){stream, stream->work.count}; }

static Result is_done(Event event) {
    if (!event.stream) return SUCCESS;
    if (event.stream->failure) return event.stream->failure;
    return event.stream->done < event.place ? NOT_READY : SUCCESS;
}

static int in_reach(const Memory *memory, Address address, size_t size) {
    return !holds(memory, address) || address + size <= memory->next;
}

static Result wait_for(Event event);

static Result perform(Step step) {
    switch (step.kind) {
    case COPY:
        if (!in_reach(&on_gpu, step.target, step.size) || !in_reach(&on_gpu, step.source, step.size))
            return ILLEGAL_ADDRESS;
        memmove((void *)step.target, (void *)step.source, step.size);
        return SUCCESS;
    case FILL:
        for (size_t i = 0; i < step.size; i++) memcpy((char *)step.target + i * step.width, &step.value, step.width);
        return SUCCESS;
    case CALL:
        step.function(step.argument);
        return SUCCESS;
    case WAIT:
        return wait_for(step.event);
    }
    abort();
}

static Result wait_for(Event event) {
    while (is_done(event) == NOT_READY)
        event.stream->failure = perform(event.stream->work.steps[event.stream->done++]);
    return is_done(event);
}
