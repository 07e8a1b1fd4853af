// A libcuda.so.1 without a GPU, as rude as the real one: every call is checked against NVIDIA's own
// declarations by the compiler, nothing runs before a stream is waited for, device addresses are not
// host addresses, fresh memory is garbage, a capturing stream refuses what the driver refuses, and
// a thread without a context can do nothing.
#define _GNU_SOURCE
#include <cuda.h>
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE (1ULL << 60) // set in every device address
#define MOST 4096

typedef struct { CUhostFn call; void *data; uint32_t *at; size_t count; unsigned value; } Work;
typedef struct { Work work[MOST]; int count; } List;
struct CUstream_st { List queue, *capture; int spoilt; };
struct CUgraph_st { List list; };
struct CUgraphExec_st { List list; };
struct CUctx_st { int retained; };

static int started;
static struct CUctx_st primary;
static _Thread_local CUcontext stack[8];
static _Thread_local int depth;
static void *blocks[MOST];
static size_t sizes[MOST];
int fake_live;                                   // objects not yet freed
static struct CUstream_st *first;                // any stream: only one captures at a time here

static int current(void) { return depth && stack[depth] && primary.retained; }
#define NEEDS(what, error) if (!(what)) return error
#define READY NEEDS(started, CUDA_ERROR_NOT_INITIALIZED); NEEDS(current(), CUDA_ERROR_INVALID_CONTEXT)
static int spoil(void) { return first && first->capture ? first->spoilt = 1 : 0; }
#define IDLE NEEDS(!spoil(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED)

CUresult cuInit(unsigned flags) {
    const char *asked = getenv("FAKE_CUDA_INIT");
    NEEDS(!flags, CUDA_ERROR_INVALID_VALUE);
    NEEDS(!asked, atoi(asked));
    started = 1;
    return CUDA_SUCCESS;
}
CUresult cuDriverGetVersion(int *version) { return *version = CUDA_VERSION, CUDA_SUCCESS; }
CUresult cuGetErrorString(CUresult error, const char **text) {
    static char said[64];
    NEEDS(error != 999, CUDA_ERROR_INVALID_VALUE);
    snprintf(said, sizeof said, error == CUDA_ERROR_NO_DEVICE ? "no CUDA-capable device is detected"
                                                             : "error %d of the fake", error);
    return *text = said, CUDA_SUCCESS;
}
CUresult cuGetErrorName(CUresult error, const char **text) { return cuGetErrorString(error, text); }

CUresult cuDeviceGetCount(int *count) { return *count = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    NEEDS(started, CUDA_ERROR_NOT_INITIALIZED);
    NEEDS(!ordinal, CUDA_ERROR_INVALID_DEVICE);
    return *device = 0, CUDA_SUCCESS;
}
CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    return snprintf(name, length, "Orin"), CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice device) {
    *value = which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR   ? 8
             : which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 7 : 0;
    return CUDA_SUCCESS;
}
CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device) {
    return *major = 8, *minor = 7, CUDA_SUCCESS;
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    NEEDS(started, CUDA_ERROR_NOT_INITIALIZED);
    primary.retained++, fake_live++;
    return *context = &primary, CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice device) {
    NEEDS(primary.retained, CUDA_ERROR_INVALID_CONTEXT);
    return primary.retained--, fake_live--, CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext *context) {
    return *context = depth ? stack[depth] : NULL, CUDA_SUCCESS;
}
CUresult cuCtxSetCurrent(CUcontext context) {
    if (!depth) depth = 1;
    return stack[depth] = context, CUDA_SUCCESS;
}
CUresult cuCtxPushCurrent(CUcontext context) { return stack[++depth] = context, CUDA_SUCCESS; }
CUresult cuCtxPopCurrent(CUcontext *context) {
    NEEDS(depth, CUDA_ERROR_INVALID_CONTEXT);
    if (context) *context = stack[depth];
    return depth--, CUDA_SUCCESS;
}
CUresult cuCtxGetDevice(CUdevice *device) { READY; return *device = 0, CUDA_SUCCESS; }
CUresult cuCtxSynchronize(void) { READY; return CUDA_SUCCESS; }

static void *take(size_t size) {
    int i = 0;
    while (blocks[i]) i++;
    sizes[i] = size, fake_live++;
    return blocks[i] = memset(malloc(size), 0xff, size); // floats of NaN
}
static int owner(void *at, size_t size) {
    for (int i = 0; i < MOST; i++) {
        char *low = blocks[i];
        if (low && (char *)at >= low && (char *)at + size <= low + sizes[i]) return i;
    }
    return -1;
}
static CUresult give(void *at) {
    int i = owner(at, 0);
    NEEDS(i >= 0 && blocks[i] == at, CUDA_ERROR_INVALID_VALUE);
    free(at), blocks[i] = NULL, fake_live--;
    return CUDA_SUCCESS;
}
CUresult cuMemHostAlloc(void **at, size_t size, unsigned flags) {
    READY; IDLE;
    NEEDS(flags == CU_MEMHOSTALLOC_DEVICEMAP && size, CUDA_ERROR_INVALID_VALUE);
    return *at = take(size), CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void *at) { READY; return give(at); }
CUresult cuMemHostGetDevicePointer(CUdeviceptr *there, void *at, unsigned flags) {
    READY;
    NEEDS(!flags && owner(at, 0) >= 0, CUDA_ERROR_INVALID_VALUE);
    return *there = (CUdeviceptr)(uintptr_t)at | DEVICE, CUDA_SUCCESS;
}
CUresult cuMemAlloc(CUdeviceptr *there, size_t size) {
    READY; IDLE;
    return *there = (CUdeviceptr)(uintptr_t)take(size) | DEVICE, CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr there) { READY; return give((void *)(uintptr_t)(there & ~DEVICE)); }

// For the tests: where a device address really lies, if `size` bytes from there are the device's.
void *fake_memory(CUdeviceptr there, size_t size) {
    void *at = (void *)(uintptr_t)(there & ~DEVICE);
    return there & DEVICE && owner(at, size) >= 0 ? at : NULL;
}

static void add(CUstream stream, Work work) {
    List *list = stream->capture ? stream->capture : &stream->queue;
    if (list->count == MOST) abort();
    list->work[list->count++] = work;
}
CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    READY;
    *stream = first = calloc(1, sizeof **stream);
    return fake_live++, CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream stream) {
    READY;
    if (first == stream) first = NULL;
    return free(stream), fake_live--, CUDA_SUCCESS;
}
CUresult cuStreamSynchronize(CUstream stream) {
    READY; IDLE;
    for (int i = 0; i < stream->queue.count; i++) {
        Work *w = &stream->queue.work[i];
        for (size_t n = 0; n < w->count; n++) w->at[n] = w->value;
        if (w->call) w->call(w->data);
    }
    return stream->queue.count = 0, CUDA_SUCCESS;
}
CUresult cuMemsetD32Async(CUdeviceptr there, unsigned value, size_t count, CUstream stream) {
    READY;
    uint32_t *at = fake_memory(there, 4 * count);
    NEEDS(at && count, CUDA_ERROR_INVALID_VALUE);
    return add(stream, (Work){.at = at, .count = count, .value = value}), CUDA_SUCCESS;
}
CUresult cuLaunchHostFunc(CUstream stream, CUhostFn call, void *data) { // the tests' kernels
    READY;
    return add(stream, (Work){.call = call, .data = data}), CUDA_SUCCESS;
}

CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    READY;
    NEEDS(mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, CUDA_ERROR_INVALID_VALUE);
    NEEDS(!stream->capture, CUDA_ERROR_ILLEGAL_STATE);
    first = stream, fake_live++;
    return stream->capture = calloc(1, sizeof(List)), CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    READY;
    NEEDS(stream->capture, CUDA_ERROR_ILLEGAL_STATE);
    *graph = (CUgraph)stream->capture, stream->capture = NULL;
    if (!stream->spoilt) return CUDA_SUCCESS;
    free(*graph), *graph = NULL, fake_live--, stream->spoilt = 0;
    return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *ready, CUgraph graph, unsigned long long flags) {
    READY;
    NEEDS(!flags, CUDA_ERROR_INVALID_VALUE);
    *ready = memcpy(malloc(sizeof **ready), graph, sizeof **ready);
    return fake_live++, CUDA_SUCCESS;
}
CUresult cuGraphDestroy(CUgraph graph) { READY; return free(graph), fake_live--, CUDA_SUCCESS; }
CUresult cuGraphExecDestroy(CUgraphExec ready) {
    READY;
    return free(ready), fake_live--, CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec ready, CUstream stream) {
    READY;
    for (int i = 0; i < ready->list.count; i++) add(stream, ready->list.work[i]);
    return CUDA_SUCCESS;
}

// cuda-bindings asks for every function by its plain name.
CUresult cuGetProcAddress(const char *name, void **found, int version, cuuint64_t flags,
                          CUdriverProcAddressQueryResult *status) {
    void *self = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    char newer[96];
    snprintf(newer, sizeof newer, "%s_v2", name);
    *found = dlsym(self, newer);
    if (!*found) *found = dlsym(self, name);
    return *found ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
