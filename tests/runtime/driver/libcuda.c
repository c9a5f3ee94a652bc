/* The CUDA driver's entry points, as far as cuda-core needs them, on the GPU of gpu.h. They are found by name through
cuGetProcAddress; whatever is not here answers NOT_SUPPORTED. Needs no header of CUDA. */

#include <stdio.h>

#include "gpu.h"

#define EXPORTED __attribute__((visibility("default")))

static Result succeed(void) { return SUCCESS; }

static Result not_supported(void) { return NOT_SUPPORTED; }

/* The driver and its one device. */

static Result cuDriverGetVersion(int *version) {
    *version = 13000;
    return SUCCESS;
}

static Result cuGetErrorName(int error, const char **name) {
    static char text[32];
    snprintf(text, sizeof text, "CUDA_ERROR_%d", error);
    *name = text;
    return SUCCESS;
}

static Result cuGetErrorString(int error, const char **text) { return cuGetErrorName(error, text); }

static Result cuDeviceGetCount(int *count) {
    *count = 1;
    return SUCCESS;
}

static Result cuDeviceGet(int *device, int ordinal) {
    *device = ordinal;
    return ordinal ? INVALID_DEVICE : SUCCESS;
}

static Result cuDeviceGetName(char *name, int length, int device) {
    snprintf(name, (size_t)length, "Fake GPU");
    return device ? INVALID_DEVICE : SUCCESS;
}

static Result cuDeviceGetAttribute(int *value, int attribute, int device) {
    enum { MAJOR = 75, MINOR = 76, MEMORY_POOLS = 115 };
    *value = attribute == MAJOR ? 8 : attribute == MINOR ? 9 : attribute == MEMORY_POOLS;
    return device ? INVALID_DEVICE : SUCCESS;
}

/* Its one context, which each thread has to make current. */

static int the_context;
static __thread void *current;

static Result if_current(void) { return current ? SUCCESS : INVALID_CONTEXT; }

static Result cuDevicePrimaryCtxRetain(void **context, int device) {
    *context = &the_context;
    return device ? INVALID_DEVICE : SUCCESS;
}

static Result cuCtxSetCurrent(void *context) {
    current = context;
    return SUCCESS;
}

static Result cuCtxGetCurrent(void **context) {
    *context = current;
    return SUCCESS;
}

static Result cuCtxGetDevice(int *device) {
    *device = 0;
    return if_current();
}

static Result cuCtxGetStreamPriorityRange(int *least, int *greatest) {
    *least = *greatest = 0;
    return if_current();
}

static Result cuCtxSynchronize(void) {
    Result worst = if_current();
    for (Stream *stream = streams; stream; stream = stream->next) {
        Result result = wait_for(now(stream));
        if (result) worst = result;
    }
    return worst;
}

/* Streams and events. */

static Stream *stream_of(uintptr_t handle) {
    return handle > 2 ? (Stream *)handle : &default_streams[handle == 2];
}

static Result cuStreamCreateWithPriority(Stream **stream) {
    if (!(*stream = calloc(1, sizeof **stream))) return OUT_OF_MEMORY;
    (*stream)->next = streams;
    streams = *stream;
    return if_current();
}

static Result cuStreamGetCtx(uintptr_t stream, void **context) {
    (void)stream;
    *context = &the_context;
    return SUCCESS;
}

static Result cuStreamSynchronize(uintptr_t stream) {
    return stream_of(stream)->recorded ? CAPTURE_UNSUPPORTED : wait_for(now(stream_of(stream)));
}

static Result cuStreamQuery(uintptr_t stream) {
    return stream_of(stream)->recorded ? CAPTURE_UNSUPPORTED : is_done(now(stream_of(stream)));
}

static Result cuStreamWaitEvent(uintptr_t stream, const Event *event) {
    if (stream_of(stream)->recorded) return CAPTURE_ISOLATION;
    return put(stream_of(stream), (Step){WAIT, .event = *event});
}

EXPORTED Result cuLaunchHostFunc(uintptr_t stream, HostFunction function, void *argument) {
    return put(stream_of(stream), (Step){CALL, .function = function, .argument = argument});
}

static Result cuEventCreate(Event **event) {
    return (*event = calloc(1, sizeof **event)) ? if_current() : OUT_OF_MEMORY;
}

static Result cuEventRecord(Event *event, uintptr_t stream) {
    if (!event) return INVALID_HANDLE;
    if (stream_of(stream)->recorded) return CAPTURE_UNSUPPORTED;
    *event = now(stream_of(stream));
    return SUCCESS;
}

static Result cuEventQuery(const Event *event) { return is_done(*event); }

static Result cuEventSynchronize(const Event *event) { return wait_for(*event); }

/* Copies and fills, of whatever lies where. A copy that blocks goes over the default stream. */

static Result cuMemcpyAsync(Address target, Address source, size_t size, uintptr_t stream) {
    return put(stream_of(stream), (Step){COPY, .target = target, .source = source, .size = size});
}

static Result cuMemcpy(Address target, Address source, size_t size) {
    cuMemcpyAsync(target, source, size, 0);
    return cuStreamSynchronize(0);
}

static Result fill(Address target, unsigned value, unsigned width, size_t count, uintptr_t stream) {
    return put(stream_of(stream), (Step){FILL, .target = target, .size = count, .value = value, .width = width});
}

static Result cuMemsetD8Async(Address target, unsigned char value, size_t count, uintptr_t stream) {
    return fill(target, value, 1, count, stream);
}

static Result cuMemsetD16Async(Address target, unsigned short value, size_t count, uintptr_t stream) {
    return fill(target, value, 2, count, stream);
}

static Result cuMemsetD32Async(Address target, unsigned value, size_t count, uintptr_t stream) {
    return fill(target, value, 4, count, stream);
}

/* Memory: of the GPU in a stream's order, and pinned memory of the host. */

static Result cuDeviceGetMemPool(Memory **pool, int device) {
    *pool = &on_gpu;
    return device ? INVALID_DEVICE : SUCCESS;
}

static Result cuMemPoolGetAttribute(Memory *pool, int attribute, uint64_t *value) {
    (void)pool, (void)attribute;
    *value = 0;
    return SUCCESS;
}

static Result cuMemAllocFromPoolAsync(Address *address, size_t size, Memory *pool, uintptr_t stream) {
    return stream_of(stream)->recorded ? CAPTURE_UNSUPPORTED : take(pool, size, address);
}

static Result cuMemFreeAsync(Address address, uintptr_t stream) {
    if (!holds(&on_gpu, address)) return INVALID_VALUE;
    return stream_of(stream)->recorded ? CAPTURE_UNSUPPORTED : fill(address, POISON, 1, size_at(address), stream);
}

static Result cuMemAllocHost(Address *address, size_t size) { return take(&pinned, size, address); }

static Result cuMemFreeHost(Address address) { return free_at_once(&pinned, address); }

static Result attribute_of(Address address, int attribute, int *value) {
    enum { MEMORY_TYPE = 2, IS_MANAGED = 8, DEVICE_ORDINAL = 9 };
    enum { NO_TYPE = 0, HOST = 1, DEVICE = 2, NO_DEVICE = -2 };
    int gpu = holds(&on_gpu, address), known = gpu || holds(&pinned, address);
    switch (attribute) {
    case MEMORY_TYPE:
        *value = gpu ? DEVICE : known ? HOST : NO_TYPE;
        return SUCCESS;
    case IS_MANAGED:
        *value = 0;
        return SUCCESS;
    case DEVICE_ORDINAL:
        *value = known ? 0 : NO_DEVICE;
        return SUCCESS;
    }
    return NOT_SUPPORTED;
}

static Result cuPointerGetAttributes(unsigned count, const int *attributes, int **values, Address address) {
    Result result = SUCCESS;
    for (unsigned i = 0; i < count && !result; i++) result = attribute_of(address, attributes[i], values[i]);
    return result;
}

/* Graphs: what was put on one stream while it was recorded. */

static Result cuStreamBeginCapture(uintptr_t stream) {
    Work **recorded = &stream_of(stream)->recorded;
    if (!stream || *recorded) return CAPTURE_UNSUPPORTED;
    return (*recorded = calloc(1, sizeof **recorded)) ? SUCCESS : OUT_OF_MEMORY;
}

static Result cuStreamIsCapturing(uintptr_t stream, int *status) {
    *status = stream_of(stream)->recorded != NULL;
    return SUCCESS;
}

static Result cuStreamGetCaptureInfo(uintptr_t stream, int *status, uint64_t *id, Work **graph) {
    if (id) *id = (uint64_t)stream_of(stream)->recorded;
    if (graph) *graph = stream_of(stream)->recorded;
    return cuStreamIsCapturing(stream, status);
}

static Result cuStreamEndCapture(uintptr_t stream, Work **graph) {
    Work *recorded = stream_of(stream)->recorded;
    if (graph) *graph = recorded;
    stream_of(stream)->recorded = NULL;
    return recorded ? SUCCESS : INVALID_VALUE;
}

static Result cuGraphInstantiateWithParams(Work **launchable, Work *graph) {
    *launchable = graph;
    return SUCCESS;
}

static Result cuGraphLaunch(const Work *graph, uintptr_t stream) {
    for (size_t i = 0; i < graph->count; i++) put(stream_of(stream), graph->steps[i]);
    return SUCCESS;
}

static Result cuUserObjectCreate(void **object, void *value) {
    *object = value;
    return SUCCESS;
}

/* How they are found: by the name, and the CUDA version from which on the caller knows it. */

EXPORTED Result cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found);

#define IS(name) {#name, 0, (void *)name}
#define SUCCEEDS(name) {name, 0, (void *)succeed}
static const struct {
    const char *name;
    int since;
    void *function;
} entries[] = {
    {"cuGetProcAddress", 12000, (void *)cuGetProcAddress_v2},
    SUCCEEDS("cuInit"), IS(cuDriverGetVersion), IS(cuGetErrorName), IS(cuGetErrorString),
    IS(cuDeviceGetCount), IS(cuDeviceGet), IS(cuDeviceGetName), IS(cuDeviceGetAttribute),
    IS(cuDevicePrimaryCtxRetain), SUCCEEDS("cuDevicePrimaryCtxRelease"),
    IS(cuCtxSetCurrent), IS(cuCtxGetCurrent), IS(cuCtxGetDevice), IS(cuCtxGetStreamPriorityRange),
    IS(cuCtxSynchronize),
    IS(cuStreamCreateWithPriority), IS(cuStreamGetCtx), SUCCEEDS("cuStreamDestroy"),
    IS(cuStreamSynchronize), IS(cuStreamQuery), IS(cuStreamWaitEvent), IS(cuLaunchHostFunc),
    IS(cuEventCreate), IS(cuEventRecord), IS(cuEventQuery), IS(cuEventSynchronize),
    SUCCEEDS("cuEventDestroy"),
    IS(cuMemcpy), IS(cuMemcpyAsync), IS(cuMemsetD8Async), IS(cuMemsetD16Async), IS(cuMemsetD32Async),
    IS(cuDeviceGetMemPool), {"cuDeviceGetDefaultMemPool", 0, (void *)cuDeviceGetMemPool},
    IS(cuMemPoolGetAttribute), SUCCEEDS("cuMemPoolSetAttribute"),
    IS(cuMemAllocFromPoolAsync), IS(cuMemFreeAsync), IS(cuMemAllocHost), IS(cuMemFreeHost),
    IS(cuPointerGetAttributes),
    IS(cuStreamBeginCapture), IS(cuStreamIsCapturing), IS(cuStreamEndCapture),
    {"cuStreamGetCaptureInfo", 12030, (void *)cuStreamGetCaptureInfo},
    IS(cuGraphInstantiateWithParams), IS(cuGraphLaunch),
    SUCCEEDS("cuGraphDestroy"), SUCCEEDS("cuGraphExecDestroy"),
    IS(cuUserObjectCreate), SUCCEEDS("cuUserObjectRelease"),
    SUCCEEDS("cuGraphRetainUserObject"), SUCCEEDS("cuGraphReleaseUserObject"),
};

EXPORTED Result cuGetProcAddress_v2(const char *name, void **function, int version, uint64_t flags, int *found) {
    (void)flags;
    if (found) *found = 0;
    *function = (void *)not_supported;
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++)
        if (!strcmp(entries[i].name, name) && entries[i].since <= version) *function = entries[i].function;
    return SUCCESS;
}
