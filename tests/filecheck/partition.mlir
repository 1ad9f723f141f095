// RUN: imcc opt %s --passes "quantize,partition"

// 3 * 3 * 20 rows on crossbars of 128 rows, 40 outputs of 4 cells each on 128 columns.
builtin.module {
  %x = imc.input "x" : tensor<1x20x8x8xf32>
  %w = imc.weight "w" : tensor<40x20x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]>, activation = "none"} : tensor<1x20x8x8xf32>, tensor<40x20x3x3xf32> -> tensor<1x40x8x8xf32>
  imc.output "y" %y : tensor<1x40x8x8xf32>
}
// CHECK: imc.matmul {{.*}} tiling = #imc.tiling<rows = 2, columns = 2, slices = 4>

// -----

// 14 groups of 9 rows fill a crossbar's 128 rows, 32 of one weight its columns: 14 a crossbar.
builtin.module {
  %x = imc.input "x" : tensor<1x30x8x8xf32>
  %w = imc.weight "w" : tensor<30x1x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], groups = 30>, activation = "none"} : tensor<1x30x8x8xf32>, tensor<30x1x3x3xf32> -> tensor<1x30x8x8xf32>
  imc.output "y" %y : tensor<1x30x8x8xf32>
}
// CHECK: imc.matmul {{.*}} tiling = #imc.tiling<rows = 1, columns = 1, slices = 4, pack = 14>

// -----

// Fewer groups a crossbar, as pinned.
builtin.module {
  %x = imc.input "x" : tensor<1x30x8x8xf32>
  %w = imc.weight "w" : tensor<30x1x3x3xf32>
  %y = imc.matmul %x, %w {window = #imc.window<kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1], groups = 30>, activation = "none", tiling = #imc.tiling<rows = 1, columns = 1, slices = 4, pack = 6>} : tensor<1x30x8x8xf32>, tensor<30x1x3x3xf32> -> tensor<1x30x8x8xf32>
  imc.output "y" %y : tensor<1x30x8x8xf32>
}
// CHECK:     imc.matmul {{.*}} pack = 6>
// CHECK-NOT: pack = 14
// CHECK-NOT: imc.replication
